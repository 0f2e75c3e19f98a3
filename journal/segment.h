/*
 * Segment files, byte by byte: docs/FORMAT.md section "Segment file".
 *
 * A file is a header, then batch frames, each at a multiple of eight, then
 * reserved zeroes.  A frame is a header and the group records of one batch.
 * Private to journal/.
 *
 * Segment header:                      Batch frame header:
 *	  0   8  magic "MBJSEGMT"             0   4  magic "MBJF"
 *	  8   4  format version, 1            4   4  CRC32C of bytes 8 to 71
 *	 12   4  size of the header, 128      8   8  salt of the segment
 *	 16   4  compatible flags            16   8  payload size
 *	 20   4  incompatible flags          24   8  first LSN
 *	 24  16  lineage                     32   4  groups
 *	 40   8  first LSN                   36   4  CRC32C of the payload
 *	 48   4  file number                 40  32  chain before the first LSN
 *	 52   4  zero
 *	 56   8  salt
 *	 64   8  time of creation
 *	 72  32  chain before the first LSN
 *	104  20  zero
 *	124   4  CRC32C of all before
 *
 * The salt is random and known to nobody who chooses names or values: bytes
 * inside a record can never pass for a frame of the file that holds them.
 *
 * Threads: pure functions.
 */
#ifndef MBJ_JOURNAL_SEGMENT_H
#define MBJ_JOURNAL_SEGMENT_H

#include <mbj/log.h>

enum {
	SEGMENT_VERSION = 1,
	SEGMENT_HEADER_SIZE = 128,
	SEGMENT_FRAME_SIZE = 72, /* of a frame's header */
	SEGMENT_ALIGN = 8,
	/* "<8 hex>-<16 hex>.seg" and a NUL */
	SEGMENT_NAME_SIZE = 8 + 1 + 16 + 4 + 1,
};

struct segment_header {
	uint32_t compatible; /* flags as found */
	struct mbj_id lineage;
	struct mbj_lsn first;
	uint32_t number;
	uint64_t salt;
	int64_t created_us;
	struct mbj_hash chain; /* before first */
};

void segment_header_encode(const struct segment_header *header,
			   uint8_t bytes[SEGMENT_HEADER_SIZE]);
/*
 * bytes is the beginning of the file; path is for messages.  Returns:
 * MBJ_ECORRUPT (foreign or damaged), MBJ_EUNSUPPORTED (newer).
 */
enum mbj_rc segment_header_decode(struct mbj_bytes bytes, const char *path,
				  struct segment_header *ret_header,
				  struct mbj_error *err) MBJ_MUST_CHECK;

struct segment_frame {
	uint64_t payload_size;
	struct mbj_lsn first;
	uint32_t count;
	uint32_t payload_crc;
	struct mbj_hash chain; /* before first */
};

void segment_frame_encode(const struct segment_frame *frame, uint64_t salt,
			  uint8_t bytes[SEGMENT_FRAME_SIZE]);
/* False where these bytes are not a whole frame header of this segment. */
bool segment_frame_decode(const uint8_t bytes[SEGMENT_FRAME_SIZE],
			  uint64_t salt, struct segment_frame *ret_frame);

void segment_name_print(uint32_t number, struct mbj_lsn first,
			char name[SEGMENT_NAME_SIZE]);
/* Accepts exactly what _print writes. */
bool segment_name_parse(const char *name, uint32_t *ret_number,
			struct mbj_lsn *ret_first);

/*
 * MBJ_ECORRUPT about a place: "<what> (LSN n) at byte b of <path>", with file,
 * offset and LSN noted.
 */
enum mbj_rc segment_fault(struct mbj_error *err, const char *path, uint64_t at,
			  struct mbj_lsn lsn, const char *what);
#define segment_fault(...) MBJ_FAILURE(segment_fault(__VA_ARGS__))

#endif
