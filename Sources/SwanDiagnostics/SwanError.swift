/// An error that tells its reader what was found, what was expected, and what to do next.
///
/// Every library of Swan throws this type. A failure of something underneath (a system call, a
/// foreign library) is kept whole in ``cause``.
public struct SwanError: Error, Sendable, CustomStringConvertible {
    /// What a program can tell errors apart by.
    ///
    /// The set is open: each module adds its codes in an extension, one per thing that a caller can
    /// do differently, not one per place that throws.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        /// The code's stable name, `area.problem`.
        public let name: String
        /// What kind of failure it is; decides the process' exit status.
        public let kind: Kind

        /// Makes a code with a stable name and the kind of failure that it belongs to.
        public init(_ name: String, _ kind: Kind) {
            self.name = name
            self.kind = kind
        }

        /// The value as text.
        public var description: String { name }

        /// Codes are equal when their names are.
        public static func == (a: Code, b: Code) -> Bool { a.name == b.name }

        /// Hashes the name.
        public func hash(into hasher: inout Hasher) { hasher.combine(name) }
    }

    /// The kinds of failure, each with the exit status that the command line reports for it.
    public enum Kind: Int32, Sendable {
        /// The request itself is wrong: an option, a size, a combination.
        case usage = 64
        /// A file holds something damaged or foreign.
        case data = 65
        /// Something that was named is not there.
        case missing = 66
        /// Something that is needed is unavailable: a device, a program, a library.
        case unavailable = 69
        /// A fault of Swan itself: a caller inside the package broke a contract.
        case fault = 70
        /// Reading or writing failed.
        case io = 74
        /// Not enough memory or disk; refused before work began.
        case resources = 75
        /// The user interrupted the work.
        case interrupted = 130
    }

    /// Which failure this is.
    public var code: Code
    /// What was found, what was expected, and where.
    public var message: String
    /// What the reader can do next; empty when there is nothing to do.
    public var advice: String
    /// The failure underneath.
    public var cause: (any Error)?

    /// Makes an error. Texts are whole sentences.
    public init(_ code: Code, _ message: String, advice: String = "", cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.advice = advice
        self.cause = cause
    }

    /// The value as text.
    public var description: String {
        var text = message
        if let cause { text += " (\(cause))" }
        return advice.isEmpty ? text : text + "\n" + advice
    }
}

extension SwanError.Code {
    /// The work was stopped on request.
    public static let cancelled = Self("cancelled", .interrupted)
    /// A contract inside Swan was broken: a bug, to be reported.
    public static let fault = Self("fault", .fault)
}
