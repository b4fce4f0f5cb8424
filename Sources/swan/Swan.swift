import ArgumentParser

/// The command line program.
@main
struct Swan: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "swan", abstract: "Text to video with Wan2.2, in one native program.", subcommands: [])
}
