/*
 * The inside of struct mbj_tree, shared by tree*.c and diff.c.  Not a public
 * header; tests of this layer may include it to damage a tree on purpose.
 *
 * Invariants, besides those of mbj/tree.h:
 *   1. links[i].key_hash is the keyed hash of nodes[i].name.key;
 *   2. by_id holds each live node, by_slot each live node that is not loose;
 *   3. links[i].child_count counts the live, settled children of i;
 *   4. names lie in the arena; key aliases stored where the bytes are equal.
 */
#ifndef MBJ_TREE_IMPL_H
#define MBJ_TREE_IMPL_H

#include <mbj/check.h>
#include <mbj/codec.h>
#include <mbj/hash.h>
#include <mbj/tree.h>

/*
 * Nodes that a tree can ever hold: an edit of a full account may replace all
 * of its mailboxes.
 */
enum { TREE_NODES_MAX = 2 * MBJ_ACCOUNT_MAILBOXES_MAX };

/* Odd 64-bit constants: multiplying by them spreads low bits upwards. */
#define TREE_ODD_1 UINT64_C(0x9e3779b97f4a7c15)
#define TREE_ODD_2 UINT64_C(0xd1342543de82ef95)

/* What the tree itself knows of a node; as short as can be. */
struct tree_link {
	uint64_t key_hash;
	uint32_t child_count;
	bool is_loose;
};

struct mbj_tree {
	struct mbj_node *nodes;
	struct tree_link *links;
	size_t nodes_capacity;
	size_t links_capacity;
	uint32_t size; /* nodes ever added */
	uint32_t live_count;
	uint32_t loose_count;
	uint32_t live_max;  /* settle refuses more, unless is_accepted */
	uint32_t depth_max; /* likewise */
	bool is_accepted;
	uint64_t seed;
	uint64_t id_key[2];
	struct mbj_sip_key name_key;
	struct mbj_table by_id;
	struct mbj_table by_slot;
	struct mbj_arena *arena;
};

static inline void tree_prefetch(const void *p)
{
#if defined(__GNUC__)
	__builtin_prefetch(p);
#else
	(void)p;
#endif
}

/* Every bit of the result depends on every bit of x. */
static inline uint64_t tree_mix(uint64_t x)
{
	x ^= x >> 32;
	x *= TREE_ODD_1;
	x ^= x >> 29;
	x *= TREE_ODD_2;
	return x ^ x >> 32;
}

/* Ids are random, so a cheap mix will do; keyed, in case they are not. */
static inline uint64_t tree_hash_id(const struct mbj_tree *tree,
				    const struct mbj_id *id)
{
	uint64_t low = mbj_load_u64(id->b) ^ tree->id_key[0];
	uint64_t high = mbj_load_u64(id->b + 8) ^ tree->id_key[1];

	return tree_mix(tree_mix(low) + high);
}

static inline uint64_t tree_hash_key(const struct mbj_tree *tree,
				     struct mbj_bytes key)
{
	return mbj_siphash(tree->name_key, key);
}

/* key_hash is unpredictable, so spreading the parents is enough. */
static inline uint64_t tree_hash_slot(uint32_t parent, uint64_t key_hash)
{
	return key_hash ^ ((uint64_t)parent + 1) * TREE_ODD_1;
}

/* Bring the table's slot for hash into the cache. */
static inline void tree_prefetch_slot(const struct mbj_table *table,
				      uint64_t hash)
{
	if (table->capacity > 0)
		tree_prefetch(&table->slots[mbj_table_seek(table, hash)]);
}

static inline bool tree_is_live(const struct mbj_tree *tree, uint32_t index)
{
	return index < tree->size && tree->nodes[index].is_live;
}

/* Something that a node can lie under: a live node, ROOT or TEMP. */
static inline bool tree_is_parent(const struct mbj_tree *tree, uint32_t index)
{
	return index == MBJ_NODE_ROOT || index == MBJ_NODE_TEMP ||
	       tree_is_live(tree, index);
}

static inline bool tree_name_equal(const struct mbj_name *a,
				   const struct mbj_name *b)
{
	if (!mbj_bytes_equal(a->key, b->key))
		return false;
	/* Where both store their key, the stored names are equal, too. */
	if (a->stored.p == a->key.p && b->stored.p == b->key.p)
		return true;
	return mbj_bytes_equal(a->stored, b->stored);
}

/* The live, settled node in a slot whose key has this hash, or NONE. */
uint32_t tree_seek_slot(const struct mbj_tree *tree, uint32_t parent,
			struct mbj_bytes key, uint64_t key_hash);
/* A copy of name in the tree's arena; one copy where key equals stored. */
enum mbj_rc tree_copy_name(struct mbj_tree *tree, const struct mbj_name *name,
			   struct mbj_name *ret_name,
			   struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * Depths of all live nodes (1: top level) into depths[size], 0 for dead ones.
 * False where a walk up meets a cycle (then *ret_bad is its lowest node) or
 * something that is no parent (then *ret_bad is the node that has it).
 * Requires: depths is all zero.
 */
bool tree_depths(const struct mbj_tree *tree, uint32_t *depths,
		 uint32_t *ret_bad);

#endif
