package import VDriveModel

/// The door to a remote: named blobs, nothing more.
///
/// All calls may run at the same time, from any task. Names are relative to the store's prefix; folders come into being
/// with the objects in them. Drivers make one attempt: retries, limits and meters are decorators around them.
package protocol ObjectStore: Sendable {
    /// Where the store is, for people: never with a secret.
    var location: String { get }

    /// Reads an object, or a part of it.
    ///
    /// - Parameter range: bytes, not empty, inside the object; nil for the whole.
    /// - Returns: exactly the bytes asked for.
    /// - Throws: `notFound` when there is no such object; `corrupt` when the object is shorter than the range or the
    ///   body is not the one that the server announced.
    func get(_ name: ObjectName, range: Range<Int>?) async throws(StoreError) -> [UInt8]

    /// Writes an object, making its folders where they are missing. An object of that name is replaced.
    ///
    /// When this throws, anything may be there under the name: nothing, the old object, a part, or all of the new one.
    func put(_ name: ObjectName, _ body: [UInt8]) async throws(StoreError)

    /// An object's length in bytes, or nil when there is none of that name.
    func length(of name: ObjectName) async throws(StoreError) -> Int?

    /// Deletes an object. It is no error when there is none.
    func delete(_ name: ObjectName) async throws(StoreError)

    /// The direct children of a folder, in no order; a folder that does not exist has none.
    ///
    /// - Parameter folder: a relative path, or "" for the store's prefix itself.
    /// - Throws: `unsupported` when the server cannot list.
    func list(_ folder: String) async throws(StoreError) -> [StoreListing]

    /// Creates `name` as a folder or an object in a way that only one of several callers at the same time can win.
    ///
    /// - Returns: whether this call created it. False means that it exists already, or that somebody else won.
    /// - Throws: `unsupported` when the store does not know the primitive; `uncertain` when the answer was lost, so
    ///   that this caller may or may not have won.
    func claim(_ name: ObjectName, with primitive: ClaimPrimitive) async throws(StoreError) -> Bool

    /// The primitives worth probing on this kind of store, the most trusted first.
    var claimPrimitives: [ClaimPrimitive] { get }

    /// Bytes that are free and used at the remote, or nil when the server does not tell.
    func quota() async throws(StoreError) -> StoreQuota?
}

/// A way to create something exclusively. Which of them a server really honours is measured by `StoreProbe`, never
/// assumed: nginx and rclone answer a conditional PUT with success and overwrite.
package enum ClaimPrimitive: String, Sendable, CaseIterable, Codable {
    /// `mkdir(2)`, or a driver's own equivalent; `name` becomes a folder.
    case makeFolder = "mkdir"
    /// WebDAV MKCOL; `name` becomes a collection.
    case makeCollection = "mkcol"
    /// WebDAV MOVE of a fresh object to `name` with `Overwrite: F`.
    case moveNoOverwrite = "move"
    /// PUT with `If-None-Match: *`.
    case conditionalPut = "if-none-match"
}

package struct StoreListing: Hashable, Sendable {
    /// The child's own name, without the folder.
    package var name: String
    package var isFolder: Bool
    /// Bytes; nil for folders and where the server does not say.
    package var length: Int?

    package init(name: String, isFolder: Bool, length: Int?) {
        self.name = name
        self.isFolder = isFolder
        self.length = length
    }
}

package struct StoreQuota: Hashable, Sendable {
    package var availableBytes: UInt64?
    package var usedBytes: UInt64?

    package init(availableBytes: UInt64?, usedBytes: UInt64?) {
        self.availableBytes = availableBytes
        self.usedBytes = usedBytes
    }
}
