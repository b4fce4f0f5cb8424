import SwanDiagnostics

/// What a download is going to do.
public struct PullPlan: Sendable, Encodable {
    /// Files of one repository.
    public struct Part: Sendable, Encodable {
        /// Where it is.
        public var hub: Hub
        /// `owner/name`.
        public var repository: String
        /// What was asked for, and the commit that it stands for.
        public var revision, commit: String
        /// Files that are wanted.
        public var files: Int
    }

    /// One file.
    public struct File: Sendable, Encodable {
        /// Its path in the repository.
        public var path: String
        /// Its bytes.
        public var bytes: Int
        /// Whether it is on this machine.
        public var isHere: Bool

        private enum CodingKeys: String, CodingKey { case path, bytes, isHere = "is_here" }
    }

    /// What is fetched.
    public var name: String
    /// The repositories.
    public var parts: [Part]
    /// Files, and their bytes.
    public var files: Int
    /// Bytes of all files.
    public var bytes: Int
    /// Bytes that are on this machine.
    public var presentBytes: Int
    /// The files.
    public var list: [File]

    private enum CodingKeys: String, CodingKey {
        case name, parts, files, bytes, presentBytes = "present_bytes", list
    }

    /// One line.
    public var text: String {
        let places = parts.map { "\($0.repository) at \($0.commit.prefix(12)) on \($0.hub.rawValue)" }
        return "\(name): \(files) files of \(formatted(bytes: bytes)), \(formatted(bytes: presentBytes)) of it here; "
            + places.joined(separator: ", ")
    }
}

/// How far a download is.
public struct PullProgress: Sendable, Encodable, Hashable {
    /// Bytes that are here, and that there will be.
    public var done, of: Int
    /// Bytes a second of the last seconds; 0 until some are known.
    public var rate: Int
    /// Seconds until all is here; nil while that cannot be said.
    public var eta: Double?
    /// Files that are finished, and that there will be.
    public var files, ofFiles: Int
    /// Failures in a row since the last success.
    public var failures: Int
    /// Bytes whose hash is computed.
    public var verifying: Int
    /// The file that they are in.
    public var file: String?

    /// One line.
    public var text: String {
        let percent = of > 0 ? done * 100 / of : 100
        var text = "\(formatted(bytes: done)) of \(formatted(bytes: of)), \(percent) %"
        if rate > 0 { text += ", \(formatted(bytes: rate))/s" }
        if let eta, done < of { text += ", \(formatted(seconds: eta)) left" }
        text += ", \(files) of \(ofFiles) files"
        if let file { text += ", verifying \(file.printable())" }
        if failures > 1 { text += ", trying again" }
        return text
    }

    private enum CodingKeys: String, CodingKey {
        case done, of, rate, eta, files, ofFiles = "of_files", failures, verifying, file
    }
}

/// What a download tells while it runs.
public enum PullEvent: Sendable {
    /// A remark.
    case note(String)
    /// What is going to be fetched.
    case plan(PullPlan)
    /// How far it is; several times a second.
    case progress(PullProgress)
    /// A file is finished and verified.
    case file(path: String, bytes: Int)
}

/// What a download has done.
public struct PullReport: Sendable, Encodable {
    /// What was fetched.
    public var name: String
    /// The model's folder.
    public var path: String
    /// Where it came from.
    public var parts: [PullPlan.Part]
    /// Files and their bytes.
    public var files, bytes: Int
    /// Bytes that the network brought.
    public var fetchedBytes: Int
    /// Whether the hashes of all files were computed, of those too that were here before.
    public var isVerified: Bool
    /// Seconds that it took.
    public var seconds: Double

    private enum CodingKeys: String, CodingKey {
        case name, path, parts, files, bytes, fetchedBytes = "fetched_bytes", isVerified = "verified", seconds
    }
}
