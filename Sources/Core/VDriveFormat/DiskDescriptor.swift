package import VDriveModel

/// `vdrive.json`: what a disk is. Written once, when the disk is created.
package struct DiskDescriptor: Hashable, Sendable {
    package var disk: DiskID
    /// The size and chunk size at creation; commits carry the size of their time.
    package var geometry: DiskGeometry
    /// The way of claiming a term that the probe found exclusive; nil when none is.
    package var claimPrimitive: String?
    /// Seconds since 1970.
    package var createdAt: UInt64

    package static let formatVersion: UInt64 = 1
    private static let format = "vdrive disk"

    package init(disk: DiskID, geometry: DiskGeometry, claimPrimitive: String?, createdAt: UInt64) {
        self.disk = disk
        self.geometry = geometry
        self.claimPrimitive = claimPrimitive
        self.createdAt = createdAt
    }

    package func encode() -> [UInt8] {
        var members: [(key: String, value: FlatJSON.Value)] = [
            ("format", .text(Self.format)),
            ("formatVersion", .number(Self.formatVersion)),
            ("uuid", .text(disk.description)),
            ("diskBytes", .number(geometry.diskBytes)),
            ("chunkBytes", .number(UInt64(geometry.chunkBytes))),
        ]
        if let claimPrimitive { members.append(("claimPrimitive", .text(claimPrimitive))) }
        members.append(("createdAt", .number(createdAt)))
        return FlatJSON.encode(members)
    }

    /// - Throws: `futureVersion` for a disk of a newer vdrive; unknown keys are tolerated.
    package static func decode(_ bytes: [UInt8]) throws(FormatError) -> DiskDescriptor {
        let part = FormatPart.descriptor
        let members = try FlatJSON.decode(bytes, part: part, format: format, formatVersion: formatVersion)
        let uuid = try members.text("uuid", part: part)
        guard let disk = DiskID(uuid), disk.description == uuid else { throw .malformed(part, "its uuid is none") }
        let diskBytes = try members.number("diskBytes", part: part)
        let chunkBytes = try members.number("chunkBytes", part: part)
        let geometry: DiskGeometry
        do throws(GeometryError) {
            geometry = try DiskGeometry(diskBytes: diskBytes, chunkBytes: Int(clamping: chunkBytes))
        } catch {
            throw .malformed(part, "a disk of \(diskBytes) bytes in chunks of \(chunkBytes) cannot be")
        }
        return DiskDescriptor(
            disk: disk,
            geometry: geometry,
            claimPrimitive: members["claimPrimitive"] == nil ? nil : try members.text("claimPrimitive", part: part),
            createdAt: try members.number("createdAt", part: part)
        )
    }
}
