public import Glibc
public import SwanDiagnostics

/// A process in a session of its own: it outlives the terminal, the ssh session and the process that started it.
///
/// Written on `posix_spawn` rather than on the Subprocess package, whose processes end with the task that runs them: it
/// has no way to start one that is to stay.
public struct DetachedProcess: Sendable {
    /// Its number.
    public let id: pid_t

    /// glibc, spawn.h: a GNU extension, which Swift does not import.
    private static let setSession: Int32 = 0x80  // POSIX_SPAWN_SETSID

    /// The number under which a process finds the lock that it was started with.
    public static let lockDescriptor: Int32 = 3

    /// Starts a program.
    ///
    /// - Parameters:
    ///   - executable: its path.
    ///   - arguments: what follows the program's name.
    ///   - environment: all variables that it gets.
    ///   - log: the file to which it appends what it prints; made where there is none.
    ///   - lock: a lock that it holds from its first moment on, under ``lockDescriptor``.
    /// - Throws: `jobs.not-started`.
    public init(
        _ executable: String, _ arguments: [String], environment: [String: String], log: String, lock: FileLock? = nil
    ) throws(SwanError) {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO)
        // Behind the standard streams, which the lock's own number may not be one of; a copy onto itself would keep
        // close-on-exec.
        let copy = lock.map { fcntl($0.descriptor, F_DUPFD_CLOEXEC, Self.lockDescriptor + 1) } ?? -1
        defer { if copy >= 0 { close(copy) } }
        if lock != nil { posix_spawn_file_actions_adddup2(&actions, copy, Self.lockDescriptor) }

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setflags(
            &attributes, Int16(Self.setSession | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK))

        var process: pid_t = 0
        let words = ([executable] + arguments).map { strdup($0) } + [nil]
        let variables = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for text in words + variables { free(text) } }
        let result = posix_spawn(&process, executable, &actions, &attributes, words, variables)
        guard result == 0 else {
            throw SwanError(
                .notStarted, "'\(executable.printable(limit: 1024))' could not be started in the background.",
                advice: "Check that the system has free processes and files, and its disk room.",
                cause: SystemError(number: result))
        }
        id = process
    }

    /// How a child of this process ended; nil while it runs.
    public func end() -> Int32? {
        var raw: Int32 = 0
        let found = waitpid(id, &raw, WNOHANG)
        // Nobody's child any more: it has ended, and nobody knows how.
        if found < 0, errno == ECHILD { return 0 }
        return found == id ? raw : nil
    }
}
