import Foundation
import SwanDiagnostics
import SwanHub
import Testing

@Suite struct WebSettingsTests {
    private func proxy(_ environment: [String: String], _ address: String) throws -> WebSettings.Proxy? {
        try WebSettings(environment: environment).proxy(for: try #require(URL(string: address)))
    }

    @Test(
        arguments: [
            (["HTTPS_PROXY": "http://p:3128"], "p", 3128), (["https_proxy": "p"], "p", 80),
            (["https_proxy": "http://low:1", "HTTPS_PROXY": "http://up:2"], "low", 1),
            (["ALL_PROXY": "socks5://s"], "s", 1080), (["ALL_PROXY": "socks5h://s:9", "HTTPS_PROXY": ""], "s", 9),
        ] as [([String: String], String, Int)])
    func takesTheProxyOfTheScheme(environment: [String: String], host: String, port: Int) throws {
        let found = try #require(try proxy(environment, "https://hub.example/x"))
        #expect(found.host == host && found.port == port)
        #expect(found.kind == (port == 1080 || port == 9 ? .socks : .http))
    }

    @Test func otherSchemesGoDirectly() throws {
        #expect(try proxy(["HTTPS_PROXY": "http://p"], "http://hub.example/") == nil)
        #expect(try proxy([:], "https://hub.example/") == nil)
    }

    @Test(arguments: [
        ("*", true), ("hub.example", true), (".example", true), ("example", true), ("*.example", true),
        ("other, hub.example", true), ("hub.example:443", true), ("hub.example:80", false), ("b.example", false),
        ("ub.example", false), ("", false),
    ])
    func exceptionsGoDirectly(exceptions: String, isDirect: Bool) throws {
        let environment = ["HTTPS_PROXY": "http://p:1", "NO_PROXY": exceptions]
        #expect((try proxy(environment, "https://hub.example/x") == nil) == isDirect)
    }

    @Test(arguments: ["ftp://p", "https://p:1", "socks5://me:word@p", "http://"])
    func refusesWhatItCannotUse(address: String) throws {
        let error = try #require(throws: SwanError.self) { try WebSettings(environment: ["ALL_PROXY": address]) }
        #expect(error.code == .badRequest && !"\(error)".contains("word"), "\(error)")
    }

    @Test func aLoginIsDecoded() throws {
        #expect(try proxy(["ALL_PROXY": "http://me:a%40b@p:1"], "https://h/")?.login == "me:a@b")
    }
}
