import Linux
package import VDriveProtocol

extension DiskConfiguration {
    /// Writes the disk's file so that a crash leaves either the old or the new one, whole.
    ///
    /// - Throws: `fixConfiguration`, or `outOfSpace` when there is no room for it.
    package func save(in layout: StateLayout) throws(RPCError) {
        let path = layout.configurationFile(of: name)
        do throws(Errno) {
            try writeFileAtomically(path, Array(text.utf8), mode: 0o600)
        } catch {
            let code: ErrorCode = error == .noSpace || error == .diskQuotaExceeded ? .outOfSpace : .fixConfiguration
            throw RPCError(code, "The file \(path) cannot be written: \(error).")
        }
    }

    /// Reads all disks' files.
    ///
    /// - Returns: the disks that are understood, and one error for each file that is not.
    package static func load(from layout: StateLayout) -> (disks: [DiskConfiguration], errors: [RPCError]) {
        var disks: [DiskConfiguration] = []
        var errors: [RPCError] = []
        // A name that begins with a dot is what a crash left of a file that was being written.
        let names = (try? Directory.list(layout.configurationDirectory)) ?? []
        for file in names where file.hasSuffix(".toml") && !file.hasPrefix(".") {
            let path = "\(layout.configurationDirectory)/\(file)"
            do throws(RPCError) {
                disks.append(try DiskConfiguration(text: try StrictTable.read(path), path: path))
            } catch {
                errors.append(error)
            }
        }
        return (disks, errors)
    }
}
