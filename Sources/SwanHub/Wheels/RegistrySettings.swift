import FoundationEssentials
package import SwanDiagnostics

/// The Python registry that pip would use: its address, and how it is reached.
package struct RegistrySettings: Sendable {
    /// The address of the simple index, without a slash at the end.
    package let index: String
    /// How the network is reached.
    package var web: WebSettings

    /// Reads `PIP_INDEX_URL` and `PIP_CERT`, then pip's own files: the environment's, the user's, the machine's.
    ///
    /// - Parameter read: the text of a file; nil where there is none.
    /// - Throws: `hub.bad-request` for a proxy that is no address.
    package init(
        variables: [String: String], read: (String) -> String? = { FileSystem.text($0) }
    ) throws(SwanError) {
        func value(_ name: String) -> String? { variables[name].flatMap { $0.isEmpty ? nil : $0 } }
        var files: [String] = []
        if let file = value("PIP_CONFIG_FILE") { files.append(file) }
        if let environment = value("VIRTUAL_ENV") { files.append(environment + "/pip.conf") }
        if let home = value("HOME") {
            files.append((value("XDG_CONFIG_HOME") ?? home + "/.config") + "/pip/pip.conf")
            files.append(home + "/.pip/pip.conf")
        }
        files.append("/etc/pip.conf")
        // `os.devnull` there means: no files.
        let texts = value("PIP_CONFIG_FILE") == "/dev/null" ? [] : files.compactMap(read)
        func setting(_ variable: String, _ key: String) -> String? {
            value(variable) ?? texts.lazy.compactMap { Self.value(of: key, in: $0) }.first
        }
        var index = setting("PIP_INDEX_URL", "index-url") ?? "https://pypi.org/simple"
        while index.hasSuffix("/") { index.removeLast() }
        self.index = index
        web = try WebSettings(environment: variables)
        if let file = setting("PIP_CERT", "cert") { web.certificateFile = file }
    }

    /// A value of the sections `install` and `global`; the narrower one counts more.
    static func value(of key: String, in text: String) -> String? {
        var section = ""
        var found: [String: String] = [:]
        for line in text.split(whereSeparator: \.isNewline) {
            let line = trimmed(line)
            if line.hasPrefix("["), line.hasSuffix("]") { section = trimmed(line.dropFirst().dropLast()).lowercased() }
            guard let mark = line.firstIndex(where: { $0 == "=" || $0 == ":" }), !line.hasPrefix("#"),
                trimmed(line[..<mark]).lowercased().split(separator: "_").joined(separator: "-") == key
            else { continue }
            found[section] = trimmed(line[line.index(after: mark)...])
        }
        return found["install"] ?? found["global"]
    }

    private static func trimmed(_ text: some StringProtocol) -> String {
        let text = text.drop { $0.isWhitespace }
        return String(
            text.prefix(
                text.lastIndex { !$0.isWhitespace }.map { text.distance(from: text.startIndex, to: $0) + 1 } ?? 0))
    }
}
