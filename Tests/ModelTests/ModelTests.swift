import Testing
import VDriveModel

@Suite("model")
struct ModelTests {
    @Test("geometry of every chunk size", arguments: (16...24).map { 1 << $0 })
    func geometry(chunkBytes: Int) throws {
        let geometry = try DiskGeometry(diskBytes: UInt64(chunkBytes) * 1000, chunkBytes: chunkBytes)
        #expect(geometry.chunkCount == 1000)
        #expect(geometry.frameBytes * geometry.framesPerChunk == chunkBytes)
        #expect(geometry.pagesPerFrame * geometry.framesPerChunk == geometry.pagesPerChunk)
        #expect(geometry.frameBytes <= 128 * 1024)
        for index in [0, 1, 999] as [UInt64] {
            let chunk = ChunkIndex(index)
            #expect(geometry.chunk(at: geometry.offset(of: chunk)) == chunk)
            #expect(geometry.chunk(at: geometry.offset(of: chunk) + UInt64(chunkBytes) - 1) == chunk)
        }
    }

    @Test("sizes that cannot be")
    func impossible() {
        #expect(throws: GeometryError.chunkBytes(32_768)) { try DiskGeometry(diskBytes: 1 << 30, chunkBytes: 32_768) }
        #expect(throws: GeometryError.chunkBytes(3 << 20)) { try DiskGeometry(diskBytes: 3 << 30, chunkBytes: 3 << 20) }
        #expect(throws: GeometryError.diskBytes(0)) { try DiskGeometry(diskBytes: 0, chunkBytes: 65_536) }
        #expect(throws: GeometryError.diskBytes((1 << 60) + 65_536)) {
            try DiskGeometry(diskBytes: (1 << 60) + 65_536, chunkBytes: 65_536)
        }
        let error = GeometryError.notMultiple(65_537, 65_536)
        #expect(throws: error) { try DiskGeometry(diskBytes: 65_537, chunkBytes: 65_536) }
        #expect(error.description.hasSuffix("131072."))
    }

    @Test("byte ranges are cut into chunks without gap or overlap")
    func parts() throws {
        let geometry = try DiskGeometry(diskBytes: 64 << 16, chunkBytes: 1 << 16)
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<500 {
            let offset = UInt64.random(in: 0..<60 << 16, using: &generator)
            let count = Int.random(in: 0...4 << 16, using: &generator)
            var at = offset
            for part in geometry.parts(offset: offset, count: count) {
                #expect(geometry.offset(of: part.chunk) + UInt64(part.bytes.lowerBound) == at)
                #expect(!part.bytes.isEmpty && part.bytes.upperBound <= geometry.chunkBytes)
                at += UInt64(part.bytes.count)
            }
            #expect(at == offset + UInt64(count), "offset \(offset) count \(count)")
        }
    }

    @Test("pages touched and covered")
    func pages() throws {
        let geometry = try DiskGeometry(diskBytes: 1 << 20, chunkBytes: 1 << 16)
        #expect(geometry.pages(touchedBy: 0..<1) == 0..<1)
        #expect(geometry.pages(coveredBy: 0..<4095).isEmpty)
        #expect(geometry.pages(touchedBy: 4095..<4097) == 0..<2)
        #expect(geometry.pages(coveredBy: 4095..<8192) == 1..<2)
        #expect(geometry.pages(coveredBy: 5000..<8191).isEmpty)
    }

    @Test("disk ids are version 4 and read back")
    func diskID() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<100 {
            let id = DiskID(using: &generator)
            let text = id.description
            #expect(text.count == 36)
            #expect(Array(text)[14] == "4" && "89ab".contains(Array(text)[19]))
            #expect(DiskID(text) == id)
        }
        #expect(DiskID("00112233-4455-4677-8899-aabbccddeeff")?.high == 0x0011_2233_4455_4677)
        for text in ["", "00112233-4455-4677-8899-aabbccddeef", "00112233445546778899aabbccddeeff", "zz"] {
            #expect(DiskID(text) == nil)
        }
    }

    @Test("object names: what is safe", arguments: ["a", "a/b", "A-Z_0.9/x.zst", "..a", "terms/0000001a/owner"])
    func safe(path: String) {
        #expect(ObjectName.isValid(path))
        #expect(ObjectName(path).path == path)
    }

    @Test(
        "object names: what is not",
        arguments: ["", "/", "/a", "a/", "a//b", ".", "a/../b", "a b", "ä", "a\\b", "a%20"]
    )
    func unsafeNames(path: String) {
        #expect(!ObjectName.isValid(path))
    }

    @Test("order and folder")
    func order() {
        #expect(ObjectName("a/b/c").folder == "a/b")
        #expect(ObjectName("a").folder == nil)
        let low = ObjectVersion(term: Term(1), epoch: Epoch(9))
        let high = ObjectVersion(term: Term(2), epoch: Epoch(1))
        #expect(low < high)
        #expect(Term(1).next == Term(2) && Epoch(1).next == Epoch(2))
        #expect(hexadecimal(0xAB, digits: 4) == "00ab" && hexadecimal(0x12345, digits: 2) == "12345")
    }

    @Test("a set of pages is what a plain set is, for every range", arguments: [1, 16, 63, 64, 65, 1000, 1024, 4096])
    func pageSet(pageCount: Int) {
        var generator = SystemRandomNumberGenerator()
        var set = PageSet(pageCount: pageCount)
        var plain: Set<Int> = []
        for round in 0..<300 {
            let ends = (0..<2).map { _ in Int.random(in: 0...pageCount, using: &generator) }
            // Ends of words are where masks go wrong.
            let aligned = round % 3 == 0 ? ends.map { min($0 / 64 * 64, pageCount) } : ends
            let pages = aligned.min()!..<aligned.max()!
            if Bool.random(using: &generator) {
                set.insert(pages)
                plain.formUnion(pages)
            } else {
                set.remove(pages)
                plain.subtract(pages)
            }
            #expect(Set((0..<pageCount).filter { set.contains($0) }) == plain, "\(pages)")
            #expect(set.count == plain.count && set.runs.flatMap { Array($0) } == plain.sorted(), "\(pages)")
            #expect(set.words.count == (pageCount + 63) / 64 && set.inverse.inverse == set)
        }
        set.insert(0..<pageCount)
        #expect(set == PageSet(full: pageCount) && set.isFull && set.runs == [0..<pageCount])
        set.remove(0..<pageCount)
        #expect(set.isEmpty && set.runs.isEmpty)
    }
}
