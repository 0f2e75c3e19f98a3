/*
 * Ordered tables in memory, copied on write; see db_memory_table.h.
 *
 * Invariants:
 *   1. no page is empty, and keys rise within and across pages;
 *   2. only what is counted once, by a table that is counted once, is changed.
 */

#include <mbj/check.h>

#include "db_memory_table.h"

enum { PAGE_RECORDS_MAX = 48, PAGES_MAX = 1 << 28 };

struct mem_record {
	size_t refs;
	size_t key_size;
	size_t value_size;
	uint8_t bytes[]; /* key, then value */
};

struct mem_page {
	size_t refs;
	size_t count;
	struct mem_record *records[PAGE_RECORDS_MAX];
};

struct mem_table {
	size_t refs;
	size_t count;
	size_t capacity;
	struct mem_page **pages;
};

/* ------------------------------------------------------------- records */

static struct mem_record *record_new(struct mbj_bytes key,
				     struct mbj_bytes value)
{
	struct mem_record *record;

	record = mbj_alloc(sizeof(*record) + key.n + value.n);
	if (!record)
		return NULL;
	record->refs = 1;
	record->key_size = key.n;
	record->value_size = value.n;
	if (key.n > 0)
		memcpy(record->bytes, key.p, key.n);
	if (value.n > 0)
		memcpy(record->bytes + key.n, value.p, value.n);
	return record;
}

static void record_unref(struct mem_record *record)
{
	MBJ_ASSERT(record->refs > 0);
	if (--record->refs == 0)
		mbj_free(record);
}

struct mbj_bytes mem_record_key(const struct mem_record *record)
{
	return mbj_bytes_make(record->bytes, record->key_size);
}

struct mbj_bytes mem_record_value(const struct mem_record *record)
{
	return mbj_bytes_make(record->bytes + record->key_size,
			      record->value_size);
}

/* --------------------------------------------------------------- pages */

static struct mem_page *page_new(struct mem_record *const *records,
				 size_t count)
{
	struct mem_page *page = mbj_alloc(sizeof(*page));

	if (!page)
		return NULL;
	page->refs = 1;
	page->count = count;
	for (size_t i = 0; i < count; i++)
		page->records[i] = records[i];
	return page;
}

static void page_unref(struct mem_page *page)
{
	MBJ_ASSERT(page->refs > 0);
	if (--page->refs > 0)
		return;
	for (size_t i = 0; i < page->count; i++)
		record_unref(page->records[i]);
	mbj_free(page);
}

/* The first slot whose key is not below key. */
static size_t page_seek(const struct mem_page *page, struct mbj_bytes key,
			bool *ret_is_equal)
{
	size_t low = 0;
	size_t high = page->count;

	*ret_is_equal = false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order =
			mbj_bytes_compare(mem_record_key(page->records[middle]),
					  key);

		if (order < 0) {
			low = middle + 1;
			continue;
		}
		*ret_is_equal = *ret_is_equal || order == 0;
		high = middle;
	}
	return low;
}

/* -------------------------------------------------------------- tables */

struct mem_table *mem_table_new(void)
{
	struct mem_table *table = mbj_calloc(1, sizeof(*table));

	if (table)
		table->refs = 1;
	return table;
}

struct mem_table *mem_table_ref(struct mem_table *table)
{
	table->refs++;
	return table;
}

void mem_table_unref(struct mem_table **table)
{
	struct mem_table *t = *table;

	*table = NULL;
	if (!t)
		return;
	MBJ_ASSERT(t->refs > 0);
	if (--t->refs > 0)
		return;
	for (size_t i = 0; i < t->count; i++)
		page_unref(t->pages[i]);
	mbj_free(t->pages);
	mbj_free(t);
}

static bool pages_reserve(struct mem_table *table, size_t count)
{
	void *pages = table->pages;
	enum mbj_rc rc;

	rc = mbj_array_reserve(&pages, &table->capacity, count, sizeof(void *),
			       PAGES_MAX, NULL);
	table->pages = pages;
	return rc == MBJ_OK;
}

/* Make *table one that only the caller holds. */
static bool table_own(struct mem_table **table)
{
	struct mem_table *t = *table;
	struct mem_table *copy;

	if (t->refs == 1)
		return true;
	copy = mem_table_new();
	if (!copy)
		return false;
	if (t->count > 0 && !pages_reserve(copy, t->count + 1)) {
		mem_table_unref(&copy);
		return false;
	}
	for (size_t i = 0; i < t->count; i++) {
		copy->pages[i] = t->pages[i];
		copy->pages[i]->refs++;
	}
	copy->count = t->count;
	mem_table_unref(table);
	*table = copy;
	return true;
}

/* The page at index, made one that only this table holds; NULL: no memory. */
static struct mem_page *page_own(struct mem_table *table, size_t index)
{
	struct mem_page *page = table->pages[index];
	struct mem_page *copy;

	if (page->refs == 1)
		return page;
	copy = page_new(page->records, page->count);
	if (!copy)
		return NULL;
	for (size_t i = 0; i < copy->count; i++)
		copy->records[i]->refs++;
	page_unref(page);
	table->pages[index] = copy;
	return copy;
}

/* The last page that begins at or below key, 0 where none does. */
static size_t page_index(const struct mem_table *table, struct mbj_bytes key)
{
	size_t low = 0;
	size_t high = table->count;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;
		struct mbj_bytes first =
			mem_record_key(table->pages[middle]->records[0]);

		if (mbj_bytes_compare(first, key) <= 0)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* Room behind index for one page more, which is put there. */
static void pages_insert(struct mem_table *table, size_t index,
			 struct mem_page *page)
{
	MBJ_ASSERT(table->count < table->capacity);
	memmove(table->pages + index + 1, table->pages + index,
		(table->count - index) * sizeof(void *));
	table->pages[index] = page;
	table->count++;
}

/* The upper half of a full page moves to one behind it. */
static bool page_split(struct mem_table *table, size_t index)
{
	struct mem_page *page = table->pages[index];
	size_t kept = page->count / 2;
	struct mem_page *upper;

	if (!pages_reserve(table, table->count + 1))
		return false;
	upper = page_new(page->records + kept, page->count - kept);
	if (!upper)
		return false;
	page->count = kept;
	pages_insert(table, index + 1, upper);
	return true;
}

/* The page that takes key, with room and ours alone; NULL: no memory. */
static struct mem_page *page_for(struct mem_table *table, struct mbj_bytes key)
{
	size_t index;
	struct mem_page *page;

	if (table->count == 0) {
		if (!pages_reserve(table, 1))
			return NULL;
		page = page_new(NULL, 0);
		if (page)
			pages_insert(table, 0, page);
		return page;
	}
	index = page_index(table, key);
	page = page_own(table, index);
	if (!page || page->count < PAGE_RECORDS_MAX)
		return page;
	if (!page_split(table, index))
		return NULL;
	return table->pages[page_index(table, key)];
}

bool mem_table_put(struct mem_table **table, struct mbj_bytes key,
		   struct mbj_bytes value)
{
	struct mem_record *record = record_new(key, value);
	struct mem_page *page = NULL;
	bool is_equal;
	size_t slot;

	if (record && table_own(table))
		page = page_for(*table, key);
	if (!page) {
		mbj_free(record);
		return false;
	}
	slot = page_seek(page, key, &is_equal);
	if (is_equal) {
		record_unref(page->records[slot]);
	} else {
		memmove(page->records + slot + 1, page->records + slot,
			(page->count - slot) * sizeof(void *));
		page->count++;
	}
	page->records[slot] = record;
	return true;
}

bool mem_table_del(struct mem_table **table, struct mbj_bytes key)
{
	struct mem_table *t = *table;
	struct mem_page *page;
	bool is_equal;
	size_t index;
	size_t slot;

	if (t->count == 0)
		return true;
	index = page_index(t, key);
	slot = page_seek(t->pages[index], key, &is_equal);
	if (!is_equal)
		return true;
	if (!table_own(table))
		return false;
	t = *table;
	page = page_own(t, index);
	if (!page)
		return false;
	record_unref(page->records[slot]);
	page->count--;
	memmove(page->records + slot, page->records + slot + 1,
		(page->count - slot) * sizeof(void *));
	if (page->count > 0)
		return true;
	page_unref(page);
	t->count--;
	memmove(t->pages + index, t->pages + index + 1,
		(t->count - index) * sizeof(void *));
	return true;
}

/* -------------------------------------------------------------- looking */

/* The end of a page is the beginning of the next. */
static struct mem_place place_settle(const struct mem_table *table,
				     struct mem_place place)
{
	if (place.page < table->count &&
	    place.slot >= table->pages[place.page]->count)
		return (struct mem_place){place.page + 1, 0};
	return place;
}

struct mem_place mem_table_seek(const struct mem_table *table,
				struct mbj_bytes key)
{
	struct mem_place place = {0, 0};
	bool is_equal;

	if (table->count == 0)
		return place;
	place.page = page_index(table, key);
	place.slot = page_seek(table->pages[place.page], key, &is_equal);
	return place_settle(table, place);
}

const struct mem_record *mem_table_at(const struct mem_table *table,
				      struct mem_place place)
{
	if (place.page >= table->count)
		return NULL;
	return table->pages[place.page]->records[place.slot];
}

void mem_table_step(const struct mem_table *table, struct mem_place *place)
{
	place->slot++;
	*place = place_settle(table, *place);
}
