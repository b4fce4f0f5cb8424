import Foundation

/// A folder that goes with its owner.
public final class TemporaryFolder: Sendable {
    /// Where it is.
    public let path: String

    /// Makes an empty folder.
    public init() throws {
        path = NSTemporaryDirectory() + "swan-test-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Copies a fixture into the folder.
    public func copy(_ fixture: String, as name: String) throws {
        try FileManager.default.copyItem(atPath: Fixture.path(fixture), toPath: path + "/" + name)
    }

    /// The names inside, hidden ones too.
    public var names: [String] { ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted() }
}
