import Testing
import VDriveModel

/// Paths are bytes, and letters that look alike are not the same.
@Suite struct PathBytesTests {
    private static let composed = "/mnt/\u{E9}.mkv"
    private static let decomposed = "/mnt/e\u{301}.mkv"
    /// A name that begins with an accent: Swift takes it and the slash before it for one character.
    private static let accent = "/mnt/\u{301}x/.."

    @Test("what looks alike is not the same path, file or folder")
    func alike() {
        #expect(Self.composed == Self.decomposed, "as text")
        #expect(!Self.composed.isSamePath(as: Self.decomposed) && Self.composed.isSamePath(as: Self.composed))
        #expect((Self.composed + "/film").isBelow(Self.composed) && !(Self.composed + "/film").isBelow(Self.decomposed))
        #expect(!Self.composed.isBelow(Self.composed) && !"/mnt2".isBelow("/mnt") && !"/".isBelow("/"))
        #expect("/mnt".isBelow("/") && Self.accent.isBelow("/mnt"))
        #expect(Self.accent.pathParts == ["mnt", "\u{301}x", ".."] && "//a///b/".pathParts == ["a", "b"])
    }

    @Test("rules for paths that look alike are two")
    func rules() {
        let target = { (path: String, isRecursive: Bool) in
            PinRule.Target.path(path, isRecursive: isRecursive, hasMetadata: false)
        }
        let composed = target(Self.composed, true)
        #expect(composed != target(Self.decomposed, true) && composed == target(Self.composed, true))
        #expect(composed != target(Self.composed, false) && composed != .range(0..<1))
        #expect(PinRule.Target.range(0..<1) == .range(0..<1) && PinRule.Target.range(0..<1) != .range(0..<2))
        #expect(Set([composed, target(Self.decomposed, true), target(Self.composed, true)]).count == 2)
    }
}
