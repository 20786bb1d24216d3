package import Foundation

/// The folder with the real servers and the misbehaving proxies. It lies beside the package, or where the environment
/// variable VDRIVE_SHARED says.
package enum SharedTools {
    package struct Missing: Error, CustomStringConvertible {
        package let description: String
    }

    /// The path of a tool such as `servers/servers`.
    package static func path(_ tool: String, packageFolder: URL = packageFolder) throws -> String {
        let folder =
            ProcessInfo.processInfo.environment["VDRIVE_SHARED"].map { URL(fileURLWithPath: $0) }
            ?? packageFolder.deletingLastPathComponent().appendingPathComponent("shared")
        let path = folder.appendingPathComponent(tool).path
        guard FileManager.default.isReadableFile(atPath: path) else {
            throw Missing(description: "There is no \(path); set VDRIVE_SHARED to the folder that has \(tool).")
        }
        return path
    }

    /// The folder of Package.swift.
    package static let packageFolder = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
}

/// A fresh folder for a test's files.
package func makeScratchFolder(_ purpose: String) throws -> URL {
    let folder = FileManager.default.temporaryDirectory
        .appendingPathComponent("vdrive-test-\(purpose)-\(UInt64.random(in: .min ... .max))")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    return folder
}
