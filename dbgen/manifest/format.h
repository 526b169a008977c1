/*
 * The manifest's format, version 1, byte by byte.
 *
 * All integers are little-endian. "varint" is LEB128: seven bits a byte, lowest first, the top bit
 * set in all bytes but the last. Checksums are XXH64 (dbgen/store/checksum.h) and stand for the bytes as
 * stored; together they cover every byte of the file. They are against accidents. A reader must be
 * safe on any bytes, but the guard against malice is dm-verity.
 *
 *     header     fixed part and store directory, padded with zeros to a multiple of 8
 *     index      136 bytes for each batch
 *     batches    the eight sections of batch 0, of batch 1, ... without gaps
 *     tail       the two tail sections
 *
 * The file can be read front to back from a pipe, since the index comes first and tells each length.
 *
 * Header
 *     offset size
 *          0    8  magic "ULMANIF\n"
 *          8    4  format version: 1. A reader refuses a greater one before it looks further.
 *         12    4  H: bytes of the header, 104 + store directory + padding
 *         16    4  number of paths, at most 2^28 - 1
 *         20    4  number of batches: paths / 4096, rounded up
 *         24    8  number of references
 *         32    8  length of the whole file
 *         40    4  number of derivation outputs
 *         44    4  number of realisations
 *         48   16  section entry (below) of the tail's derivation outputs
 *         64   16  section entry of the tail's realisations
 *         80    8  checksum of the index
 *         88    4  bytes of the store directory, 2 to 255
 *         92    4  zero
 *         96    8  checksum of the header's H bytes, these eight taken as zero
 *        104       store directory, "/nix/store"
 *
 * Index: for each batch
 *          0    8  number of references of the batch's paths
 *          8  128  eight section entries: digests, NAR hashes, NAR sizes, names, deriver digests,
 *                  signatures, meta, references
 *
 * Section entry
 *          0    4  raw length: bytes when decoded
 *          4    4  stored length: bytes in the file. Equal to the raw length: stored as it is.
 *                  Smaller: one zstd frame. Greater: refused.
 *          8    8  checksum of the stored bytes
 *     A raw length above 2^28, or above 65536 + 256 times the stored length, is refused before
 *     anything is allocated: what a file can make a reader allocate is bounded by what it weighs. (A
 *     writer stores what would compress better than that as it is.)
 *
 * Paths are sorted by (digest, name), strictly ascending, and numbered from 0. Batch k holds paths
 * 4096 k .. 4096 k + n; every batch but the last has n = 4096. In a batch:
 *
 *     digests      n * 20, as stored it is: the hash part's bytes in reversed order. A reader finds a
 *                  path by binary search in the mapped file, since digests do not compress anyway.
 *     NAR hashes   n * 32, stored as it is: SHA-256
 *     NAR sizes    n varints: the size rotated right by 3 bits in 64 (a NAR's size is a multiple of
 *                  8, so its low bits are zero)
 *     names        n bytes: the lengths, 1 to 211; then the names, one after the other. They stand in
 *                  path order, which is random order to a name: neighbours share no beginning
 *                  that front-coding could save; zstd finds the common parts instead.
 *     deriver digests  20 bytes for each path of deriver kind 1 or 2 (see meta), stored as it is
 *     signatures   64 bytes for each path of signature code 1 to 254 (see meta), stored as it is
 *     meta         in this order:
 *         registration times: 8 bytes, the least one (signed); 1 byte, the width W: 0, 1, 2, 4 or 8;
 *                  n * W bytes, what is to be added to the least one
 *         ultimate: 1 byte: 0 none is, 1 all are, 2 a bitmap of (n + 7) / 8 bytes follows, path i in
 *                  bit i % 8 of byte i / 8
 *         derivers: n bytes, the kinds: 0 none, 1 the path's own name and ".drv", 2 the first S bytes
 *                  of the path's own name and a suffix, 3 a literal. Then for each path of kind 2:
 *                  1 byte S, 1 byte length, the suffix; of kind 3: varint length (1 to 4095), an
 *                  absolute path outside the store directory
 *         signatures: 1 byte, number of keys K, 0 to 254; for each key 1 byte length and its name;
 *                  n bytes, the codes: 0 none, 1 to K one signature in the form KEY:BASE64 whose 64
 *                  bytes stand in the signatures section, 255 a literal. Then for each path of code
 *                  255: varint length (1 to 16383) and the text, signatures joined by single spaces
 *         content addresses: n varints, the lengths (0: none; at most 1023); then the texts
 *     references   n varints: how many each path has; then for each path its references ascending: the
 *                  first as its number, each other as its difference to the one before, less one. All
 *                  are varints of at most 4 bytes.
 *
 * Tail
 *     derivation outputs, sorted by (derivation, id), strictly ascending; each:
 *         varint   the derivation's number less that of the record before (of the first: less 0)
 *         1 byte   length of the id (1 to 255); the id
 *         20 bytes digest of the output path, which need not be in the manifest
 *         1 byte   length of its name; the name
 *     realisations, sorted by (derivation, output name), strictly ascending; each:
 *         varint   length of the derivation's text (1 to 1023); the text: "sha256:..." (Nix 2.4 to 2.34), or
 *                  "HASH-NAME.drv", a build trace (Nix 2.35 and later), which has no references
 *         1 byte   length of the output name (1 to 255); the name
 *         varint   the output path's number
 *         varint   length of the signatures (0: none; at most 16383); the text
 *         varint   number of references; as many varints: numbers of realisations, ascending (first
 *                  as it is, then differences less one)
 *
 * All texts are printable ASCII, 0x20 to 0x7e.
 *
 * The level of zstd is the writer's affair. Of 100,000 generated paths with 616,890 references (make bench-db's
 * store), bytes a path, processor time of making the store and its manifest, and of decoding all:
 *
 *     level      1      3      5      6      7      9     12     15     17     19
 *     bytes  151.0  150.1  149.7  149.5  149.6  149.3  149.2  147.5  147.5  147.4
 *     make s  0.54   0.63   0.62   0.76   0.88   0.86   0.98   1.44   1.58   1.91
 *     ns/path  153    153    159    167    155    155    156    169    169    173
 *
 * 114 of the bytes are digests, hashes and signatures, which nothing makes smaller; some 14 are the
 * references' differences. 9 is where the gain ends that costs no time when the manifest is read. What a level
 * shrinks by less than an eighth is stored as it is: the differences of this store, 1.1 bytes a path.
 *
 * A worked record: the 424 bytes of a manifest of two paths (tests/unit/test_manifest.c holds them all)
 *     0: /nix/store/00000000000000000000000000000010-lib      no references
 *     1: /nix/store/10000000000000000000000000000000-app-1.0  refers to 0 and to itself
 *
 *     0000  55 4c 4d 41 4e 49 46 0a 01 00 00 00 78 00 00 00   magic, version 1, header of 120 bytes
 *     0010  02 00 00 00 01 00 00 00 02 00 00 00 00 00 00 00   2 paths, 1 batch, 2 references
 *     0020  a8 01 00 00 00 00 00 00 00 00 00 00 00 00 00 00   424 bytes in all, no outputs, no
 *                                                             realisations; their empty entries follow,
 *     0050  ca c3 fc bc 1e db a4 18 0a 00 00 00 00 00 00 00   the index' checksum, 10 bytes of directory
 *     0060  f9 ca 3f 6a 5b 15 ae db 2f 6e 69 78 2f 73 74 6f   the header's checksum, "/nix/sto"
 *     0070  72 65 00 00 00 00 00 00 02 00 00 00 00 00 00 00   "re", padding; the index: 2 references,
 *     0080  28 00 00 00 28 00 00 00 8e 20 20 17 92 11 44 b8   digests: 40 bytes, stored as they are; ...
 *     0100  00 ... 00 20 | 08 00 ... 00                        two digests: 32 and 2^155, big-endian
 *     0128  00 ... 00 11 | 00 ... 00 22                        two NAR hashes
 *     0168  0f 80 04                                           NAR sizes 15 * 8 and 512 * 8
 *     016b  03 07 6c 69 62 61 70 70 2d 31 2e 30                names of 3 and 7: "lib", "app-1.0"
 *     0177  18 00 ... 00                                       one deriver's digest: 30000...
 *     018b  00 00 00 00 00 00 00 00 01 00 07                   meta: times from 0, one byte each: 0, 7
 *     0196  00 00 01                                           none ultimate; derivers: none, own + ".drv"
 *     0199  00 00 00                                           no keys; no signatures
 *     019c  00 06 74 65 78 74 3a 78                            content addresses: none, "text:x"
 *     01a4  00 02 00 00                                        0 and 2 references: 0, then 0 + 0 + 1
 */
#pragma once

#define UL_MANIFEST_MAGIC     "ULMANIF\n"
#define UL_MANIFEST_VERSION   1
#define UL_MANIFEST_HEAD      104 /* bytes of the header's fixed part */
#define UL_MANIFEST_BATCH     4096
#define UL_MANIFEST_MAX_PATHS ((1U << 28) - 1)
#define UL_MANIFEST_MAX_RAW   (1U << 28) /* bytes of one section */
#define UL_MANIFEST_FREE_RAW  65536      /* bytes that a section may always have */
#define UL_MANIFEST_MAX_RATIO 256
#define UL_MANIFEST_ENTRY     16 /* bytes of a section entry */
#define UL_MANIFEST_INDEX     136
#define UL_MANIFEST_SIG       64 /* bytes of an Ed25519 signature */
#define UL_MANIFEST_SIG_TEXT  88 /* its base64 */
#define UL_MANIFEST_KEYS      254
#define UL_MANIFEST_SIG_OTHER 255
#define UL_DERIVER_MAX        4095
#define UL_SIGS_MAX           16383
#define UL_CA_MAX             1023
#define UL_DRV_TEXT_MAX       1023
#define UL_OUTPUT_ID_MAX      255

/* Offsets in the header. */
enum {
	UL_HEAD_VERSION = 8,
	UL_HEAD_LEN = 12,
	UL_HEAD_N_PATHS = 16,
	UL_HEAD_N_BATCHES = 20,
	UL_HEAD_N_REFS = 24,
	UL_HEAD_FILE_LEN = 32,
	UL_HEAD_N_DRV_OUTPUTS = 40,
	UL_HEAD_N_REALISATIONS = 44,
	UL_HEAD_DRV_OUTPUTS = 48,
	UL_HEAD_REALISATIONS = 64,
	UL_HEAD_INDEX_SUM = 80,
	UL_HEAD_DIR_LEN = 88,
	UL_HEAD_ZERO = 92,
	UL_HEAD_SUM = 96,
};

/* Sections of a batch, in the file's order. */
enum ul_section {
	UL_SECTION_DIGEST,
	UL_SECTION_NAR_HASH,
	UL_SECTION_NAR_SIZE,
	UL_SECTION_NAME,
	UL_SECTION_DERIVER,
	UL_SECTION_SIG,
	UL_SECTION_META,
	UL_SECTION_REFS,
	UL_SECTION_COUNT
};

enum ul_deriver_kind {
	UL_DERIVER_NONE,
	UL_DERIVER_OWN,
	UL_DERIVER_SHARED,
	UL_DERIVER_LITERAL,
};
