import Foundation
import SwanDiagnostics
import SwanMedia
import SwanTestSupport
import Testing

/// Guards what becomes of a video whose process was killed, at each moment between its first frame and its name.
@Suite struct InterruptedOutputTests {
    /// Notes what it is told, or fails to.
    private final class Journal: OutputJournal {
        var part = ""
        var identity: FileIdentity?
        var isElsewhere = false
        let dies: Bool

        init(dies: Bool) { self.dies = dies }

        func began(_ output: OutputPath, part: String) throws(SwanError) { self.part = part }
        func completed(_ output: OutputPath, part: String, _ identity: FileIdentity) throws(SwanError) {
            self.identity = identity
            if dies { throw SwanError(.writeFailed, "full") }
        }
        func keptElsewhere(_ output: OutputPath) throws(SwanError) { isElsewhere = true }
    }

    private func video(_ path: String, _ journal: Journal) throws {
        let output = try OutputPath.check(path, width: 16, height: 16)
        let sink = try VideoWriter.open(output, width: 16, height: 16, fps: 8, journal: journal)
        try sink.write(frames: [UInt8](repeating: 9, count: 16 * 16 * 3 * 2), count: 2)
        try sink.finish()
    }

    @Test(arguments: ["a.y4m", "a.mp4", "new/%02d.png", "old/%02d.png"])
    func aVideoWithItsNameIsKept(name: String) throws {
        let folder = try TemporaryFolder()
        try FileManager.default.createDirectory(atPath: folder.path + "/old", withIntermediateDirectories: false)
        let path = "\(folder.path)/\(name)"
        let journal = Journal(dies: false)
        try video(path, journal)
        let names = folder.names
        let interrupted = InterruptedOutput(path: path, part: journal.part, completed: journal.identity)
        #expect(try interrupted.settle())
        #expect(folder.names == names)
    }

    /// Killed between the note that the video is whole and its name; the name may be taken by an empty file already.
    @Test(arguments: [false, true])
    func aWholeVideoGetsItsName(isClaimed: Bool) throws {
        let folder = try TemporaryFolder()
        let (path, part) = (folder.path + "/a.mp4", folder.path + "/.swan-1.part.mp4")
        try Data("video".utf8).write(to: URL(filePath: part))
        if isClaimed { try Data().write(to: URL(filePath: path)) }
        let completed = try identity(part)
        #expect(try InterruptedOutput(path: path, part: part, completed: completed).settle())
        #expect(folder.names == ["a.mp4"])
        #expect(try Data(contentsOf: URL(filePath: path)) == Data("video".utf8))
        // Once more, as after another kill.
        #expect(try InterruptedOutput(path: path, part: part, completed: completed).settle())
        #expect(folder.names == ["a.mp4"])
    }

    /// The same for frames that move one by one into a folder which was there.
    @Test func framesThatWereMovedHalfwayAreMoved() throws {
        let folder = try TemporaryFolder()
        let part = folder.path + "/frames/.swan-1.part"
        try FileManager.default.createDirectory(atPath: part, withIntermediateDirectories: true)
        for name in ["frames/01.png", "frames/.swan-1.part/02.png", "frames/.swan-1.part/03.png"] {
            try Data(name.utf8).write(to: URL(filePath: "\(folder.path)/\(name)"))
        }
        let output = InterruptedOutput(
            path: folder.path + "/frames/%02d.png", part: part, completed: try identity(part))
        #expect(try output.settle())
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: folder.path + "/frames").sorted()
                == ["01.png", "02.png", "03.png"])
    }

    @Test func halfAVideoGoes() throws {
        let folder = try TemporaryFolder()
        let part = folder.path + "/.swan-1.part.mp4"
        try Data("half".utf8).write(to: URL(filePath: part))
        #expect(try !InterruptedOutput(path: folder.path + "/a.mp4", part: part, completed: nil).settle())
        #expect(folder.names.isEmpty)
        // Nothing is there at all, as after another kill.
        #expect(try !InterruptedOutput(path: folder.path + "/a.mp4", part: part, completed: nil).settle())
    }

    /// Somebody else's file of that name stays what it is.
    @Test func nothingIsOverwritten() throws {
        let folder = try TemporaryFolder()
        let (path, part) = (folder.path + "/a.mp4", folder.path + "/.swan-1.part.mp4")
        try Data("video".utf8).write(to: URL(filePath: part))
        try Data("other".utf8).write(to: URL(filePath: path))
        let output = InterruptedOutput(path: path, part: part, completed: try identity(part))
        let error = #expect(throws: SwanError.self) { try output.settle() }
        #expect(error?.code == .outputExists)
        #expect(try Data(contentsOf: URL(filePath: path)) == Data("other".utf8))
    }

    /// The name was taken while the video was made: what is kept under another name is not what was asked for, and
    /// whoever has the name, or nobody, does not pass for it.
    @Test(arguments: ["a.y4m", "old/%02d.png"], [true, false])
    func aTakenNameIsNotTheVideo(name: String, isThere: Bool) throws {
        let folder = try TemporaryFolder()
        try FileManager.default.createDirectory(atPath: folder.path + "/old", withIntermediateDirectories: false)
        let (path, taken) = ("\(folder.path)/\(name)", "\(folder.path)/\(name == "a.y4m" ? name : "old/01.png")")
        let journal = Journal(dies: false)
        let output = try OutputPath.check(path, width: 16, height: 16)
        let sink = try VideoWriter.open(output, width: 16, height: 16, fps: 8, journal: journal)
        try sink.write(frames: [UInt8](repeating: 9, count: 16 * 16 * 3 * 2), count: 2)
        try Data("other".utf8).write(to: URL(filePath: taken))
        let error = #expect(throws: SwanError.self) { try sink.finish() }
        #expect(error?.code == .outputExists && journal.isElsewhere)
        if name == "a.y4m" {
            if !isThere { try FileManager.default.removeItem(atPath: taken) }
            let interrupted = InterruptedOutput(path: path, part: journal.part, completed: journal.identity)
            #expect(try !interrupted.settle())
        }
    }

    @Test func aVideoThatCannotBeNotedIsNotKept() throws {
        let folder = try TemporaryFolder()
        #expect(throws: SwanError.self) { try video(folder.path + "/a.y4m", Journal(dies: true)) }
        #expect(folder.names.isEmpty)
    }

    private func identity(_ path: String) throws -> FileIdentity {
        var facts = stat()
        #expect(lstat(path, &facts) == 0)
        return FileIdentity(device: UInt64(facts.st_dev), number: UInt64(facts.st_ino))
    }
}
