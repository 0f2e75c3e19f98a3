/*
 * libFuzzer's hook for snapshots: records are dropped, doubled, moved, put
 * elsewhere, or get bytes of each other; their keys and values are changed like
 * any bytes.  What comes out is in order as a rule, and its sums and checksums
 * fit (forge.h): of eight inputs one keeps its wrong sums, one is any bytes.
 */
#include <string.h>

#include "forge.h"
#include "fuzz.h"

enum { GROWTH_MAX = 64, SPLICE_MAX = 16, CHANGES_MAX = 3 };

struct changing {
	struct forge forge;
	uint64_t dice;
};

static uint32_t roll(struct changing *c, size_t bound)
{
	c->dice ^= c->dice << 13;
	c->dice ^= c->dice >> 7;
	c->dice ^= c->dice << 17;
	return (uint32_t)((c->dice >> 16) % bound);
}

static struct forge_record *any_record(struct changing *c)
{
	return &c->forge.records[roll(c, c->forge.count)];
}

static void record_drop(struct changing *c)
{
	size_t at = roll(c, c->forge.count);

	if (c->forge.count > 1)
		c->forge.records[at] = c->forge.records[--c->forge.count];
}

/* The same bytes somewhere else. */
static bool copied(struct changing *c, uint8_t **p, uint32_t size)
{
	uint8_t *to = forge_room(&c->forge, (size_t)size + 1);

	if (to == NULL)
		return false;
	if (size > 0)
		memcpy(to, *p, size);
	*p = to;
	return true;
}

/* Also into another account: the last byte of its key is another one then. */
static void record_double(struct changing *c)
{
	struct forge_record made = *any_record(c);

	if (c->forge.count == FORGE_RECORDS_MAX ||
	    !copied(c, &made.key, made.key_size) ||
	    !copied(c, &made.value, made.value_size))
		return;
	if (made.key_size > 0 && roll(c, 4) > 0)
		made.key[made.key_size - 1] ^= (uint8_t)(1 + roll(c, 3));
	if (roll(c, 4) == 0)
		memcpy(made.account, any_record(c)->account,
		       sizeof(made.account));
	c->forge.records[c->forge.count++] = made;
}

static void bytes_change(struct changing *c, uint8_t **p, uint32_t *size)
{
	uint8_t *to = forge_room(&c->forge, (size_t)*size + GROWTH_MAX);

	if (to == NULL)
		return;
	if (*size > 0)
		memcpy(to, *p, *size);
	*size = (uint32_t)LLVMFuzzerMutate(to, *size,
					   (size_t)*size + GROWTH_MAX);
	*p = to;
}

/* Where fields of records begin, more often than elsewhere. */
static size_t place(struct changing *c, size_t size)
{
	static const uint8_t places[] = {0, 1, 3, 7, 9, 15, 16, 20, 25, 26, 41};
	size_t at = places[roll(c, sizeof(places))];

	return at < size && roll(c, 4) > 0 ? at : roll(c, size);
}

/* An id, a number or a part of a hash of one record in another one. */
static void bytes_splice(struct changing *c)
{
	struct forge_record *from = any_record(c), *to = any_record(c);
	bool is_key = roll(c, 2) == 0, is_from_key = roll(c, 2) == 0;
	uint8_t *source = is_from_key ? from->key : from->value;
	size_t source_size = is_from_key ? from->key_size : from->value_size;
	size_t size = is_key ? to->key_size : to->value_size;
	size_t n = (size_t)4 << roll(c, 3);
	size_t at, source_at;

	if (source_size == 0 || size == 0)
		return;
	at = place(c, size);
	source_at = place(c, source_size);
	if (n > SPLICE_MAX)
		n = SPLICE_MAX;
	if (n > size - at)
		n = size - at;
	if (n > source_size - source_at)
		n = source_size - source_at;
	memmove((is_key ? to->key : to->value) + at, source + source_at, n);
}

/* All records of an account, or one, are another's. */
static void account_change(struct changing *c)
{
	struct forge_record *one = any_record(c);
	bool is_all = roll(c, 2) == 0;
	uint8_t before[FORGE_ID_SIZE], after[FORGE_ID_SIZE];

	memcpy(before, one->account, sizeof(before));
	memcpy(after, any_record(c)->account, sizeof(after));
	if (roll(c, 8) == 0)
		memset(after, roll(c, 2) == 0 ? 0 : 0xff, sizeof(after));
	else if (roll(c, 2) == 0)
		after[roll(c, sizeof(after))] ^= (uint8_t)(1 + roll(c, 255));
	for (size_t i = 0; is_all && i < c->forge.count; i++)
		if (memcmp(c->forge.records[i].account, before,
			   sizeof(before)) == 0)
			memcpy(c->forge.records[i].account, after,
			       sizeof(after));
	memcpy(one->account, after, sizeof(after));
}

static void records_swap(struct changing *c)
{
	struct forge_record *one = any_record(c), *two = any_record(c);
	struct forge_record record = *one;

	*one = *two;
	*two = record;
}

static void head_change(struct changing *c)
{
	uint8_t head[FORGE_HEAD_SIZE];

	memcpy(head, c->forge.head, sizeof(head));
	(void)LLVMFuzzerMutate(head, sizeof(head), sizeof(head));
	memcpy(c->forge.head, head, sizeof(head));
}

static void change(struct changing *c)
{
	struct forge_record *record = any_record(c);

	switch (roll(c, 16)) {
	case 0:
	case 1:
		record_drop(c);
		break;
	case 2:
	case 3:
		record_double(c);
		break;
	case 4:
	case 5:
	case 6:
		bytes_change(c, &record->value, &record->value_size);
		break;
	case 7:
		bytes_change(c, &record->key, &record->key_size);
		break;
	case 8:
		account_change(c);
		break;
	case 9:
		records_swap(c);
		break;
	case 10:
		record->table = (uint8_t)roll(c, 18);
		break;
	case 11:
		record->is_first = !record->is_first;
		break;
	case 12:
		head_change(c);
		break;
	default:
		bytes_splice(c);
		break;
	}
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max,
			       unsigned seed)
{
	static struct changing c;
	unsigned changes;
	size_t made;

	c.dice = seed * 0x9e3779b97f4a7c15 + 1;
	if (roll(&c, 8) == 0 || !forge_read(&c.forge, data, size) ||
	    c.forge.count == 0)
		return LLVMFuzzerMutate(data, size, max);
	changes = 1 + roll(&c, CHANGES_MAX);
	for (unsigned i = 0; i < changes; i++)
		change(&c);
	if (roll(&c, 8) > 0)
		forge_sort(&c.forge);
	made = forge_write(&c.forge,
			   roll(&c, 8) == 0 ? FORGE_CHECKSUMS : FORGE_SUMS,
			   data, max);
	return made > 0 ? made : size;
}

/* One's records, and some of two's in their accounts. */
size_t LLVMFuzzerCustomCrossOver(const uint8_t *one, size_t one_size,
				 const uint8_t *two, size_t two_size,
				 uint8_t *out, size_t max, unsigned seed)
{
	static struct changing a, b;
	size_t made, count;

	a.dice = seed * 0x9e3779b97f4a7c15 + 1;
	if (!forge_read(&a.forge, one, one_size) ||
	    !forge_read(&b.forge, two, two_size) || b.forge.count == 0)
		return 0;
	count = 1 + roll(&a, 8);
	for (size_t at = roll(&a, b.forge.count);
	     count > 0 && at < b.forge.count &&
	     a.forge.count < FORGE_RECORDS_MAX;
	     at++, count--)
		a.forge.records[a.forge.count++] = b.forge.records[at];
	forge_sort(&a.forge);
	made = forge_write(&a.forge, FORGE_SUMS, out, max);
	return made;
}
