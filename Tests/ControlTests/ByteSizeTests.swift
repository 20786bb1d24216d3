import Testing
import VDriveProtocol

@Suite("sizes")
struct ByteSizeTests {
    private static let read: [(String, UInt64)] = [
        ("0", 0), ("4096", 4096), ("64G", 0x10_0000_0000), ("64g", 0x10_0000_0000), ("64GiB", 0x10_0000_0000),
        ("64GB", 0x10_0000_0000), ("512K", 0x8_0000), ("4M", 0x40_0000), ("1.5T", 0x180_0000_0000), ("0.5K", 512),
        ("1P", 0x4_0000_0000_0000), ("1E", 0x1000_0000_0000_0000), ("7E", 0x7000_0000_0000_0000), ("12B", 12),
        ("0.001953125G", 0x20_0000),
    ]

    @Test("what people write is read", arguments: read)
    func reads(text: String, bytes: UInt64) {
        #expect(ByteSize.parse(text) == bytes)
    }

    @Test(
        "what is no size is refused",
        arguments: [
            "", "G", "-1", "+1", "1.5", "1.5B", "64Q", "64 G", "1..5G", "1.G", "8E", "16E", "99999999999999999999",
            "0.3K",
            "1e3", "0x10", "64GiBs", "64iB", "１G", "1.5.5G", ".5G",
        ]
    )
    func refuses(text: String) {
        #expect(ByteSize.parse(text) == nil)
    }

    private static let written: [(UInt64, String)] = [
        (0, "0 B"), (1023, "1023 B"), (1024, "1.00 KiB"), (1536, "1.50 KiB"), (0xA0_0000, "10.0 MiB"),
        (0x3FF0_0000, "1023 MiB"), (0x100_0000_0000, "1.00 TiB"), (0x180_0000_0000, "1.50 TiB"),
        (0x1000_0000_0000_0000, "1.00 EiB"), (0x8000_0000_0000_0000, "8.00 EiB"),
    ]

    @Test("what people read", arguments: written)
    func writes(bytes: UInt64, text: String) {
        #expect(ByteSize.text(bytes) == text)
    }
}
