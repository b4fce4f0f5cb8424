import FoundationEssentials
import Glibc
import SwanDiagnostics
import SwanMedia
import Testing

@Suite struct OutputPathTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func check(
        _ path: String, width: Int = 64, height: Int = 48, frames: Int = 5, tools: MediaTools = .installed
    ) -> SwanError? {
        failure { try OutputPath.check(path, width: width, height: height, frames: frames, tools: tools) }
    }

    @Test(arguments: [
        ("a.mp4", OutputFormat.mp4), ("A.B.WebM", .webm), ("/x/y.gif", .gif), ("y4m.y4m", .y4m), ("f/%04d.png", .png),
        ("a%d.png", .png),
    ])
    func knowsItsFormats(path: String, format: OutputFormat) throws {
        #expect(try OutputFormat(path: path) == format)
    }

    @Test(arguments: [
        "", "a", "a.", "mp4", ".mp4", "a.avi", "a.mp4/", "a.mp4 ", "dir.mp4/a", "a\u{0}.mp4", "a.png", "%s.png",
        "%d%d.png", "a%4.png",
        "%-4d.png", "%99999999999999999999d.png", "%4d.png", "%d/a.png",
    ])
    func refusesOtherNames(path: String) {
        let error = failure { try OutputFormat(path: path) }
        #expect(error?.code == .outputInvalid)
        #expect(error?.advice.contains("png") == true)
    }

    @Test func listsTheExtensions() {
        #expect(check("a.avi")?.advice == "Known are .mp4, .webm, .gif, .y4m, %04d.png.")
    }

    @Test func acceptsWhatCanBeWritten() {
        for name in ["a.mp4", "a.webm", "a.gif", "a.y4m", "%d.png", "new/%04d.png"] {
            #expect(check(folder.file(name)) == nil)
        }
        #expect(folder.names.isEmpty)
    }

    @Test func refusesAnExistingOutput() throws {
        try folder.write("a.mp4", [1, 2])
        try folder.write("f0007.png", [])
        try FileManager.default.createSymbolicLink(atPath: folder.file("b.y4m"), withDestinationPath: "nowhere")
        #expect(check(folder.file("a.mp4"))?.code == .outputExists)
        #expect(check(folder.file("f%04d.png"))?.code == .outputExists)
        #expect(check(folder.file("b.y4m"))?.code == .outputExists)
        #expect(check(folder.file("g%04d.png")) == nil)
        #expect(
            failure { try VideoWriter.open(path: folder.file("a.mp4"), width: 2, height: 2, fps: 1) }?.code
                == .outputExists)
        #expect(try folder.bytes("a.mp4") == [1, 2])
    }

    // Even root cannot make files in /proc.
    @Test func refusesFoldersThatCannotBeWritten() throws {
        #expect(check("/proc/a.mp4")?.code == .folderUnwritable)
        #expect(check("/proc/new/%d.png")?.code == .folderUnwritable)
        #expect(check(folder.file("nothing/a.mp4"))?.code == .folderMissing)
        #expect(check(folder.file("nothing/deeper/%d.png"))?.code == .folderMissing)
        try folder.write("file", [])
        #expect(check(folder.file("file/a.mp4"))?.code == .folderMissing)
        #expect(check(folder.file("file/%d.png"))?.code == .folderMissing)
    }

    @Test func checksPlacesOfOtherFiles() throws {
        func check(_ name: String) -> SwanError? { failure { try OutputPath.checkFile(name, bytes: 100) } }
        #expect(check(folder.file("latents.safetensors")) == nil)
        #expect(check(folder.file("nothing/latents"))?.code == .folderMissing)
        #expect(check("/proc/latents")?.code == .folderUnwritable)
        #expect(folder.names.isEmpty)
        try folder.write("latents", [7])
        #expect(check(folder.file("latents"))?.code == .outputExists)
        #expect(try folder.bytes("latents") == [7])
        let error = failure { try OutputPath.checkFile(folder.file("large"), bytes: .max) }
        #expect(error?.code == .diskRoom)
    }

    @Test func refusesSizesThatTheFormatLacks() {
        #expect(check(folder.file("a.mp4"), width: 63)?.code == .outputInvalid)
        #expect(check(folder.file("a.mp4"), height: 47)?.code == .outputInvalid)
        #expect(check(folder.file("a.webm"), width: 63) == nil)
        for size in [0, -1, 20_000, Int.max] {
            #expect(check(folder.file("a.y4m"), width: size)?.code == .outputInvalid)
        }
        #expect(
            failure { try VideoWriter.open(path: folder.file("a.y4m"), width: 2, height: 2, fps: 0) }?.code
                == .outputInvalid)
        #expect(folder.names.isEmpty)
    }

    @Test func refusesAFullDisk() {
        let error = check(folder.file("a.y4m"), width: 1280, height: 720, frames: 1 << 30)
        #expect(error?.code == .diskRoom)
        #expect(error?.code.kind == .resources)
        #expect(check(folder.file("a.y4m"), width: 16384, height: 16384, frames: .max)?.code == .diskRoom)
    }

    @Test func saysHowToGetFFmpeg() throws {
        let none = MediaTools(searchPath: "")
        for name in ["a.mp4", "a.webm", "a.gif", "%d.png"] {
            let error = check(folder.file(name), tools: none)
            #expect(error?.code == .encoderMissing)
            #expect(error?.advice.contains("apt-get install ffmpeg") == true && error?.advice.contains(".y4m") == true)
        }
        #expect(check(folder.file("a.y4m"), tools: none) == nil)
        #expect(
            failure { try VideoWriter.open(path: folder.file("a.mp4"), width: 2, height: 2, fps: 1, tools: none) }?.code
                == .encoderMissing)

        // A build without the encoder, a folder of that name, a file that is no program, and a relative folder.
        try folder.write("ffmpeg", "#!/bin/sh\necho \"Codec is not recognized\"\n".utf8)
        #expect(MediaTools(searchPath: folder.path).ffmpeg == nil)
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: folder.file("ffmpeg"))
        // A child that another test starts just now may still hold the script open for writing.
        while system("\(folder.file("ffmpeg")) > /dev/null 2>&1") >> 8 == 126 { usleep(10_000) }
        #expect(MediaTools(searchPath: "/nothing:\(folder.path)").ffmpeg == folder.file("ffmpeg"))
        #expect(check(folder.file("a.mp4"), tools: MediaTools(searchPath: folder.path))?.code == .encoderMissing)
        try FileManager.default.createDirectory(atPath: folder.file("ffprobe"), withIntermediateDirectories: false)
        #expect(MediaTools(searchPath: folder.path).ffprobe == nil)
        #expect(MediaTools(searchPath: ".:bin").ffmpeg == nil)
    }
}
