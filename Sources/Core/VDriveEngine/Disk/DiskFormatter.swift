internal import Glibc
package import VDriveFormat
package import VDriveModel
package import VDriveStore

/// Making a disk on a remote, and finding one that is there.
package enum DiskFormatter {
    /// Makes a disk: checks that the remote can be written, finds out how a term can be claimed there, writes
    /// `vdrive.json`. When it throws, it has taken back what it wrote.
    ///
    /// - Throws: `exists` when there is a disk already.
    package static func create(
        store: RemoteStore,
        geometry: DiskGeometry
    ) async throws(DiskError) -> DiskDescriptor {
        do throws(StoreError) {
            if try await store.brief.length(of: .descriptor) != nil {
                throw StoreError(.invalid, "")
            }
        } catch  where error.kind == .invalid && error.message.isEmpty {
            throw DiskError(
                .exists,
                "There is a disk already at \(store.brief.location); "
                    + "attach it with «vdrivectl import», or choose another folder."
            )
        } catch {
            throw DiskError(error)
        }
        try await checkIsNotDestroyed(store.brief)
        do throws(StoreError) {
            try await StoreProbe.checkWritable(store.brief)
            let primitive = try await StoreProbe.claimPrimitive(of: store.brief, in: probeFolder())
            var random = SystemRandomNumberGenerator()
            let descriptor = DiskDescriptor(
                disk: DiskID(using: &random),
                geometry: geometry,
                claimPrimitive: primitive?.rawValue,
                createdAt: UInt64(time(nil))
            )
            try await store.brief.put(.descriptor, descriptor.encode())
            return descriptor
        } catch {
            try? await store.brief.delete(.descriptor)
            throw DiskError(error)
        }
    }

    /// Deletes the objects of a disk that was made in vain, as far as the remote is there and can list them.
    package static func remove(store: RemoteStore) async {
        let sweep = RemoteSweep(store: store.brief, isStopping: { false }, progress: { _ in })
        guard (try? await sweep.run()) != nil else { return }
        // Last: as long as it is there, nobody takes the place for an empty one.
        try? await store.brief.delete(.descriptor)
    }

    /// A new disk among the commits of an old one would take them for its own.
    private static func checkIsNotDestroyed(_ store: any ObjectStore) async throws(DiskError) {
        let mark: Int?
        do throws(StoreError) { mark = try await store.length(of: .destroyed) } catch { throw DiskError(error) }
        guard mark == nil else {
            throw DiskError(
                .refused,
                "The disk at \(store.location) was destroyed, and not all of it is deleted yet; finish that with "
                    + "«vdrivectl destroy NAME --remote» on the machine that began it, or delete the folder by hand."
            )
        }
    }

    /// Two creations at the same time must not probe in the same folder.
    private static func probeFolder() -> String {
        "probe-\(hexadecimal(UInt64.random(in: .min ... .max), digits: 16))"
    }

    /// Reads what disk there is.
    ///
    /// - Throws: `notFound` when there is none.
    package static func open(store: RemoteStore) async throws(DiskError) -> DiskDescriptor {
        do throws(ObjectTrouble) {
            return try await store.brief.getDecoded(.descriptor, logger: nil) { (bytes) throws(FormatError) in
                try DiskDescriptor.decode(bytes)
            }
        } catch {
            if case .missing = error {
                if (try? await store.brief.length(of: .destroyed)) ?? nil != nil {
                    throw DiskError(.notFound, "The disk at \(store.brief.location) was destroyed.")
                }
                throw DiskError(
                    .notFound,
                    "There is no disk at \(store.brief.location); check the URL, or make one with «vdrivectl create»."
                )
            }
            throw DiskError(error, with: .descriptor)
        }
    }
}
