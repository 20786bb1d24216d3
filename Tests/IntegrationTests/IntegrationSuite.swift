import Testing

/// Real daemons on real FUSE mounts, loop devices, filesystems and servers, one test after the other: they share two
/// processors, and some of them measure.
@Suite(.serialized)
struct Integration {}
