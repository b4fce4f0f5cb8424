import Dispatch
import FoundationEssentials
import Glibc
import SwanDiagnostics
import Synchronization

/// How a process ended.
package enum ExitStatus: Equatable, CustomStringConvertible {
    case code(Int32)
    case signal(Int32)

    /// Takes apart what `waitpid` reports.
    package init(raw: Int32) {
        self = raw & 0x7f == 0 ? .code(raw >> 8 & 0xff) : .signal(raw & 0x7f)
    }

    /// The value as text.
    package var description: String {
        switch self {
        case .code(let code): "exit status \(code)"
        case .signal(let signal): "signal \(signal), \(String(cString: strsignal(signal)))"
        }
    }
}

/// A program that runs beside Swan and is fed or read through descriptors.
///
/// Written on `posix_spawn` rather than on the Subprocess package, for two reasons. A sink is called
/// from synchronous code, and Subprocess is `async` throughout: waiting for it would block a thread of
/// Swift's shared pool on work that needs another one, so that two videos on two cores wait for ever.
/// And it writes into pipes, where a program that has died raises SIGPIPE in Swan, unless the whole
/// process ignores that signal; here the standard input is a socket, written with `MSG_NOSIGNAL`.
///
/// The program gets a process group of its own, so that Ctrl-C in a terminal reaches Swan and not the
/// program, and default signal handlers.
final class ChildProcess {
    let processID: pid_t
    /// Where to write the program's standard input; -1 without one.
    private(set) var input: Int32 = -1
    /// Where to read the program's standard output; -1 without one.
    private(set) var output: Int32 = -1
    private let errors: TextTail
    private var status: ExitStatus?

    /// Starts a program.
    ///
    /// - Throws: `media.encoder-failed` if it cannot be started.
    init(_ executable: String, _ arguments: [String], input wantsInput: Bool, output wantsOutput: Bool)
        throws(SwanError)
    {
        // Each pair is [ours, the program's]. Sockets rather than pipes: they are made with close-on-exec at
        // once, so that no program that starts at the same moment inherits an end and holds it open.
        var pairs: [[Int32]] = []
        func failed(_ number: Int32) -> SwanError {
            for descriptor in Set(pairs.joined()) { close(descriptor) }
            return SwanError(
                .encoderFailed, "'\(executable.printable())' could not be started.",
                advice: "Check that the program is intact and that the system has free processes and files.",
                cause: SystemError(number: number))
        }
        for isConnected in [wantsInput, wantsOutput, true] {
            var pair: [Int32] = [-1, -1]
            if isConnected {
                let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
                guard socketpair(AF_UNIX, kind, 0, &pair) == 0 else { throw failed(errno) }
            } else {
                let null = open("/dev/null", O_RDWR | O_CLOEXEC)
                guard null >= 0 else { throw failed(errno) }
                pair = [null, null]
            }
            pairs.append(pair)
        }

        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for (standard, pair) in pairs.enumerated() {
            posix_spawn_file_actions_adddup2(&actions, pair[1], Int32(standard))
        }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK))

        let environment = ProcessInfo.processInfo.environment.map { "\($0.key)=\($0.value)" }
        var processID: pid_t = 0
        let result = withCStrings([executable] + arguments) { arguments in
            withCStrings(environment) { posix_spawn(&processID, executable, &actions, &attributes, arguments, $0) }
        }
        guard result == 0 else { throw failed(result) }
        self.processID = processID
        UnfinishedOutput.began(process: processID)
        input = wantsInput ? pairs[0][0] : -1
        output = wantsOutput ? pairs[1][0] : -1
        close(pairs[0][1])
        close(pairs[1][1])
        close(pairs[2][1])
        errors = TextTail(reading: pairs[2][0])
    }

    deinit {
        kill()
        closeInput()
        if output >= 0 { close(output) }
    }

    /// Ends the program's standard input, so that it sees the end of its data.
    func closeInput() {
        if input >= 0 { close(input) }
        input = -1
    }

    /// Whether the program has ended.
    var hasEnded: Bool {
        if status != nil { return true }
        var raw: Int32 = 0
        guard waitpid(processID, &raw, WNOHANG) == processID else { return false }
        UnfinishedOutput.ended(process: processID)
        status = ExitStatus(raw: raw)
        return true
    }

    /// Waits for the program's end.
    @discardableResult func wait() -> ExitStatus {
        if let status { return status }
        var raw: Int32 = 0
        while waitpid(processID, &raw, 0) < 0, errno == EINTR {}
        UnfinishedOutput.ended(process: processID)
        let ended = ExitStatus(raw: raw)
        status = ended
        return ended
    }

    /// Ends the program and what it started at once, and waits for it. Nothing happens if it has ended.
    func kill() {
        guard status == nil else { return }
        // The process has not been waited for, so that its number cannot belong to another one yet.
        _ = Glibc.kill(-processID, SIGKILL)
        wait()
    }

    /// The end of what the program wrote to its standard error, printable. Whole once it has ended.
    var errorText: String { errors.text() }
}

/// Reads a descriptor to its end on a thread of its own and keeps the last 4 kB.
private final class TextTail: Sendable {
    private let tail = Mutex<[UInt8]>([])
    private let ended = DispatchSemaphore(value: 0)

    init(reading descriptor: Int32) {
        // A serial queue of its own: it gets a thread even while those of the shared pool are blocked.
        DispatchQueue(label: "swan.media.errors").async { [self] in
            var chunk = [UInt8](repeating: 0, count: 4096)
            while true {
                let count = read(descriptor, &chunk, chunk.count)
                if count < 0, errno == EINTR { continue }
                if count <= 0 { break }
                tail.withLock { $0 = Array(($0 + chunk.prefix(count)).suffix(4096)) }
            }
            close(descriptor)
            ended.signal()
        }
    }

    func text() -> String {
        // Something that the program started may keep its standard error open for longer than it lives.
        if ended.wait(timeout: .now() + .seconds(2)) == .success { ended.signal() }
        let lines = tail.withLock { String(decoding: $0, as: UTF8.self) }.split(whereSeparator: \.isNewline)
        return lines.map { $0.trimmingPrefix(while: \.isWhitespace) }.filter { !$0.isEmpty }
            .map { String($0).printable(limit: 500) }.joined(separator: " | ")
    }
}

/// What a program that failed said: the `cause` of an error.
struct ProgramFailure: Error, CustomStringConvertible {
    let program: String
    let status: ExitStatus
    let errors: String

    var description: String { "\(program): \(status)\(errors.isEmpty ? "" : ": " + errors)" }
}

/// Calls with a NULL-terminated array of C strings.
private func withCStrings<Result>(
    _ strings: [String], _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> Result
) -> Result {
    var pointers: [UnsafeMutablePointer<CChar>?] = strings.map { strdup($0) } + [nil]
    defer { for pointer in pointers { free(pointer) } }
    return pointers.withUnsafeMutableBufferPointer { buffer in
        // The array holds its terminator at least, so that it has an address.
        guard let base = buffer.baseAddress else { preconditionFailure("an empty array of arguments") }
        return body(base)
    }
}
