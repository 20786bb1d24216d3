import Foundation
import Testing
import VDriveStore
import VDriveTestKit

/// A remote for one test.
struct TestRemote: Sendable {
    enum Kind: String, CaseIterable, Sendable, CustomTestStringConvertible {
        case file, apache, nginx
        case rclone = "rclone-dav"
        var testDescription: String { rawValue }
    }

    /// As `--remote` takes it.
    let url: String
    /// The credentials file, and the options for `vdrivectl` that name it.
    let credentials: String?
    /// Where the objects lie in truth.
    let folder: URL

    /// A fresh folder on a server, or below the daemon's own folder.
    ///
    /// - Parameter port: a proxy's port instead of the server's own.
    static func make(_ kind: Kind, for daemon: DaemonUnderTest, port: UInt16? = nil) async throws -> TestRemote {
        let name = "remote-\(UInt64.random(in: .min ... .max))"
        switch kind {
        case .file:
            let folder = URL(fileURLWithPath: daemon.folder).appendingPathComponent(name)
            return TestRemote(url: "file://\(folder.path)", credentials: nil, folder: folder)
        case .apache, .nginx, .rclone:
            let servers: [Kind: RealServer.Kind] = [.apache: .apache, .nginx: .nginx, .rclone: .rclone]
            let server = try await ServerFarm.shared.server(servers[kind]!)
            let file = "\(daemon.folder)/\(kind.rawValue).toml"
            try writeSecret(
                "username = \"\(server.credentials.username)\"\npassword = \"\(server.credentials.password)\"\n",
                to: file
            )
            return TestRemote(
                url: try server.url(name, port: port).redacted,
                credentials: file,
                folder: server.files.appendingPathComponent(name)
            )
        }
    }

    /// The words that `create` and `import` take.
    var arguments: [String] { ["--remote", url] + credentialArguments }
    var credentialArguments: [String] { credentials.map { ["--credentials", $0] } ?? [] }

    /// Every object by its path, with its length.
    func objects() throws -> [String: Int] { try filesBelow(folder) }
}

/// Writes a file that only its owner may read.
func writeSecret(_ text: String, to path: String, mode: Int = 0o600) throws {
    try Data(text.utf8).write(to: URL(fileURLWithPath: path))
    try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
}

/// Every file below a folder, by its path in there, with its length. Files that go away meanwhile are left out.
func filesBelow(_ folder: URL) throws -> [String: Int] {
    var found: [String: Int] = [:]
    guard let walk = FileManager.default.enumerator(atPath: folder.path) else { return [:] }
    for case let path as String in walk {
        let attributes = try? FileManager.default.attributesOfItem(atPath: folder.appendingPathComponent(path).path)
        guard attributes?[.type] as? FileAttributeType == .typeRegular else { continue }
        found[path] = (attributes?[.size] as? Int) ?? 0
    }
    return found
}
