import Foundation
import Glibc
import SwanTestSupport
import Testing

/// Tests of the program itself: each starts it as a person or a script would. One at a time, so that its
/// threads have the cores that a test counts on.
@Suite(.serialized) enum CommandTests {}

/// The built program, in a folder of its own.
final class Program {
    /// Where it runs, empty at first.
    let folder: TemporaryFolder
    /// What is put in place of the test's own environment.
    var environment: [String: String] = [:]
    /// What is before the program on the command line.
    var wrapper: [String] = []
    /// Where standard output goes instead of being collected.
    var standardOutput: String?
    /// Whether standard error is a terminal; what is shown there counts as errors.
    var isTerminal = false

    /// Where its jobs and runs are noted.
    let state: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        state = try TemporaryFolder()
        environment["XDG_STATE_HOME"] = state.path
        // No profile of this machine's user.
        environment["XDG_DATA_HOME"] = state.path + "/data"
    }

    /// The random model of 64×48 in the official layout.
    static let model = Fixture.path("pipeline/layouts/official")
    /// A request that takes a second.
    static let small = ["--model", model, "--size", "64x48", "--frames", "9", "--steps", "2"]

    /// The path of the program: beside the test bundle, or where this checkout is built.
    private static let path: String? = {
        let bundle = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        let checkout = URL(filePath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let places = [
            URL(filePath: bundle).deletingLastPathComponent(), checkout.appending(path: ".build/release"),
            checkout.appending(path: ".build/debug"),
        ]
        return places.map { $0.appending(path: "swan").path(percentEncoded: false) }
            .first { access($0, X_OK) == 0 }
    }()

    /// Runs the program to its end.
    ///
    /// - Parameters:
    ///   - arguments: what follows `swan`.
    ///   - seconds: after which it is killed and the test fails.
    ///   - onLine: called with each line as it comes, on a terminal also with each that another replaces, and the
    ///     process' number.
    @discardableResult
    func run(
        _ arguments: [String], seconds: Double = 120, onLine: (String, pid_t) -> Void = { _, _ in }
    ) throws -> Result {
        let path = try #require(Self.path, "the program was not built")
        var pipes: [[Int32]] = []
        for isTerminal in [false, isTerminal] { pipes.append(try isTerminal ? Self.terminal() : Self.pipe()) }
        defer { for descriptor in pipes.joined() where descriptor >= 0 { close(descriptor) } }

        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        if let standardOutput {
            posix_spawn_file_actions_addopen(&actions, 1, standardOutput, O_WRONLY, 0)
        } else {
            posix_spawn_file_actions_adddup2(&actions, pipes[0][1], 1)
        }
        posix_spawn_file_actions_adddup2(&actions, pipes[1][1], 2)
        var attributes = Self.attributes()
        defer { posix_spawnattr_destroy(&attributes) }

        let words = ["/usr/bin/env", "-C", folder.path] + wrapper + [path] + arguments
        let values = ProcessInfo.processInfo.environment.merging(environment) { $1 }.map { "\($0.key)=\($0.value)" }
        var process: pid_t = 0
        let failure = Self.withCStrings(words) { words in
            Self.withCStrings(values) { posix_spawn(&process, "/usr/bin/env", &actions, &attributes, words, $0) }
        }
        try #require(failure == 0, "the program could not be started")
        for index in pipes.indices {
            close(pipes[index][1])
            pipes[index][1] = -1
        }
        return try collect(process, pipes.map { $0[0] }, seconds: seconds, onLine)
    }

    /// A process group of its own, and signals as they are by default: a shell in the background starts its jobs with
    /// Ctrl-C ignored, and so may the test have been.
    private static func attributes() -> posix_spawnattr_t {
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        var signals = sigset_t()
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP))
        return attributes
    }

    /// Starts the program and leaves it alone; what it prints is dropped.
    ///
    /// - Returns: the process' number, to be waited for.
    func start(_ arguments: [String]) throws -> pid_t {
        let path = try #require(Self.path, "the program was not built")
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
        var attributes = Self.attributes()
        defer { posix_spawnattr_destroy(&attributes) }
        let words = ["/usr/bin/env", "-C", folder.path, path] + arguments
        let values = ProcessInfo.processInfo.environment.merging(environment) { $1 }.map { "\($0.key)=\($0.value)" }
        var process: pid_t = 0
        let failure = Self.withCStrings(words) { words in
            Self.withCStrings(values) { posix_spawn(&process, "/usr/bin/env", &actions, &attributes, words, $0) }
        }
        try #require(failure == 0, "the program could not be started")
        return process
    }

    /// Reads both streams until they end, then waits for the process.
    private func collect(
        _ process: pid_t, _ descriptors: [Int32], seconds: Double, _ onLine: (String, pid_t) -> Void
    ) throws -> Result {
        let deadline = ContinuousClock.now + .seconds(seconds)
        var texts: [[UInt8]] = [[], []]
        var lineStarts = [0, 0]
        var open: Set = [0, 1]
        while !open.isEmpty {
            guard ContinuousClock.now < deadline else {
                kill(-process, SIGKILL)
                let said = texts.map { String(decoding: $0, as: UTF8.self) }
                Issue.record("the program did not end in \(seconds) s; it said \(said)")
                break
            }
            var polled = open.sorted().map { pollfd(fd: descriptors[$0], events: Int16(POLLIN), revents: 0) }
            poll(&polled, nfds_t(polled.count), 100)
            for (stream, entry) in zip(open.sorted(), polled) where entry.revents != 0 {
                var chunk = [UInt8](repeating: 0, count: 1 << 14)
                let count = read(descriptors[stream], &chunk, chunk.count)
                // A terminal whose other side was closed reads as an error.
                guard count > 0 else {
                    open.remove(stream)
                    continue
                }
                texts[stream] += chunk.prefix(count)
                let ends: Set<UInt8> = isTerminal ? [0x0A, 0x0D] : [0x0A]
                while let end = texts[stream][lineStarts[stream]...].firstIndex(where: ends.contains) {
                    onLine(String(decoding: texts[stream][lineStarts[stream] ..< end], as: UTF8.self), process)
                    lineStarts[stream] = end + 1
                }
            }
        }
        var raw: Int32 = 0
        while waitpid(process, &raw, 0) < 0, errno == EINTR {}
        return Result(
            status: raw & 0x7F == 0 ? raw >> 8 & 0xFF : -(raw & 0x7F),
            output: String(decoding: texts[0], as: UTF8.self), errors: String(decoding: texts[1], as: UTF8.self))
    }

    /// What a run left behind.
    struct Result {
        /// The exit status; a signal's number, negative, if one ended the program.
        let status: Int32
        /// Standard output.
        let output: String
        /// Standard error.
        let errors: String

        /// Standard output as one JSON object for each line.
        var events: [Event] { get throws { try output.split(separator: "\n").map { try Event(String($0)) } } }

        /// The event `error`, which is the last.
        var failure: Event? { get throws { try events.last.flatMap { $0.name == "error" ? $0 : nil } } }
    }

    /// A line of `--json`.
    struct Event {
        let name: String
        let data: Any

        init(_ line: String) throws {
            let object = try #require(
                try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any], "\(line)")
            #expect(Set(object.keys) == ["event", "data"])
            name = try #require(object["event"] as? String)
            data = try #require(object["data"])
        }

        subscript(_ key: String) -> Any? { (data as? [String: Any])?[key] }
    }

    /// Puts a program named ffmpeg before all others: a shell script, which finds the real one in `$real`,
    /// and is asked nothing but to encode.
    func replaceFFmpeg(_ script: String) throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
        let places: [String] = path.split(separator: ":").map { "\($0)/ffmpeg" }
        let real = try #require(places.first { access($0, X_OK) == 0 }, "ffmpeg is not installed")
        let text = "#!/bin/sh\ncase \"$*\" in *encoder=*) exec \(real) \"$@\";; esac\nreal=\(real)\n\(script)\n"
        try Data(text.utf8).write(to: URL(filePath: folder.path + "/ffmpeg"))
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: folder.path + "/ffmpeg")
        // A child that another test starts just now may still hold the script open for writing.
        while system("\(folder.path)/ffmpeg -h encoder=gif > /dev/null 2>&1") >> 8 == 126 { usleep(10_000) }
        environment["PATH"] = "\(folder.path):\(path)"
        return folder
    }

    /// The bytes of a file that the program made.
    func bytes(_ name: String) throws -> Data { try Data(contentsOf: URL(filePath: folder.path + "/" + name)) }

    private static func pipe() throws -> [Int32] {
        // Sockets, since they can be made with close-on-exec at once: no program that starts at the same moment
        // inherits an end and holds it open.
        var ends: [Int32] = [-1, -1]
        let isMade = socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends) == 0
        try #require(isMade)
        return ends
    }

    /// Both sides of a terminal with 60 columns.
    private static func terminal() throws -> [Int32] {
        let near = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
        var (unlocked, number): (Int32, Int32) = (0, 0)
        // Linux: TIOCSPTLCK and TIOCGPTN, which the overlay of the C library lacks.
        let isReady = ioctl(near, 0x4004_5431, &unlocked) == 0 && ioctl(near, 0x8004_5430, &number) == 0
        let far = open("/dev/pts/\(number)", O_RDWR | O_NOCTTY | O_CLOEXEC)
        try #require(isReady && far >= 0)
        var size = winsize()
        size.ws_col = 60
        _ = ioctl(far, UInt(TIOCSWINSZ), &size)
        return [near, far]
    }

    private static func withCStrings<Value>(
        _ strings: [String], _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> Value
    ) -> Value {
        var pointers: [UnsafeMutablePointer<CChar>?] = strings.map { strdup($0) } + [nil]
        defer { for pointer in pointers { free(pointer) } }
        return pointers.withUnsafeMutableBufferPointer { buffer in
            guard let base = buffer.baseAddress else { preconditionFailure("an empty array of arguments") }
            return body(base)
        }
    }
}
