/*
 * How fast plans are made, against building a hash table of the same nodes.
 *
 *	bench_plan [--quick]
 *
 * permute-N  N mailboxes, N / 10 of them parents at the top with nine children
 *            each: the names of all children are permuted across all parents
 * chain      3,000 levels turned upside down
 * table      a hash table of the same ids
 *
 * A plan is difference, planning and validation together.  Output: a table,
 * and one JSON object a line.
 */
#define _DEFAULT_SOURCE /* mallinfo2 */
#include "bench_figures.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mbj/codec.h>
#include <mbj/hash.h>
#include <mbj/plan.h>

static _Noreturn void stop(const char *what, const struct mbj_error *err)
{
	(void)fprintf(stderr, "bench_plan: %s: %s\n", what,
		      err ? err->message : "failed");
	exit(1);
}

static uint64_t mix(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdu;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53u;
	return x ^ x >> 33;
}

static struct mbj_id node_id(uint32_t i)
{
	struct mbj_id id;

	mbj_store_u64(id.b, mix(i + 1));
	mbj_store_u64(id.b + 8, mix(~(uint64_t)i));
	return id;
}

/* One side; parents and names by index, UINT32_MAX for the root. */
static struct mbj_tree *tree_make(uint32_t n, const uint32_t *parents,
				  const uint32_t *names)
{
	struct mbj_tree *tree = NULL;
	struct mbj_error err;
	uint32_t index;
	char name[24];

	if (mbj_tree_new(42, &tree, &err) < 0 ||
	    mbj_tree_reserve(tree, n, &err) < 0)
		stop("tree", &err);
	for (uint32_t i = 0; i < n; i++) {
		struct mbj_node node = {.id = node_id(i),
					.parent = MBJ_NODE_ROOT,
					.is_selectable = true,
					.is_live = true};

		(void)snprintf(name, sizeof(name), "mailbox-%u", names[i]);
		node.name.stored = mbj_bytes_str(name);
		node.name.key = node.name.stored;
		if (mbj_tree_add_loose(tree, &node, &index, &err) < 0)
			stop("tree", &err);
	}
	for (uint32_t i = 0; i < n; i++)
		mbj_tree_set_parent(tree, i,
				    parents[i] == UINT32_MAX ? MBJ_NODE_ROOT
							     : parents[i]);
	if (mbj_tree_settle(tree, &err) < 0)
		stop("tree", &err);
	return tree;
}

static double table_time(uint32_t n)
{
	struct mbj_table table;
	double begin = bench_cpu_s();

	mbj_table_init(&table);
	for (uint32_t i = 0; i < n; i++) {
		if (mbj_table_add(&table, mix(i), i, NULL) < 0)
			stop("table", NULL);
	}
	begin = bench_cpu_s() - begin;
	mbj_table_done(&table);
	return begin;
}

struct figure {
	double seconds;
	double bytes; /* heap at the peak of difference and plan, in bytes */
	size_t steps;
	size_t parks;
};

static struct figure plan_time(const struct mbj_tree *before,
			       const struct mbj_tree *after, int rounds)
{
	struct mbj_plan_options options = MBJ_PLAN_OPTIONS_DEFAULT;
	struct figure best = {1e9, 0, 0, 0};

	for (int i = 0; i < rounds; i++) {
		struct mallinfo2 heap = mallinfo2();
		double held = (double)(heap.uordblks + heap.hblkhd);
		struct mbj_diff diff = {0};
		struct mbj_plan plan = {0};
		struct mbj_error err;
		double begin = bench_cpu_s();

		if (mbj_diff_make(before, after, &diff, &err) < 0 ||
		    mbj_plan_make(&diff, &options, &plan, &err) < 0)
			stop("plan", &err);
		begin = bench_cpu_s() - begin;
		heap = mallinfo2();
		best.bytes = (double)(heap.uordblks + heap.hblkhd) - held;
		if (begin < best.seconds)
			best.seconds = begin;
		best.steps = plan.count;
		best.parks = plan.parks;
		mbj_plan_done(&plan);
		mbj_diff_done(&diff);
	}
	return best;
}

static void report(const char *name, uint32_t n, struct figure figure,
		   double table)
{
	(void)printf("%-16s %9.3f ms  %7.1f ns/mailbox  %8zu steps %6zu parks"
		     "  table %4.1f %%\n",
		     name, figure.seconds * 1e3, figure.seconds / n * 1e9,
		     figure.steps, figure.parks, table / figure.seconds * 100);
	(void)printf("{\"bench\":\"plan\",\"case\":\"%s\",\"value\":%.4g,"
		     "\"unit\":\"ns/mailbox\"}\n",
		     name, figure.seconds / n * 1e9);
	(void)printf("{\"bench\":\"plan\",\"case\":\"%s-whole\","
		     "\"value\":%.4g,\"unit\":\"ms\"}\n",
		     name, figure.seconds * 1e3);
	(void)printf("{\"bench\":\"plan\",\"case\":\"%s-table\","
		     "\"value\":%.4g,\"unit\":\"share\"}\n",
		     name, table / figure.seconds);
}

static double permute_run(uint32_t n, int rounds)
{
	uint32_t *parents = calloc(n, sizeof(*parents));
	uint32_t *names = calloc(n, sizeof(*names));
	uint32_t *shuffled = calloc(n, sizeof(*shuffled));
	uint32_t *moved = calloc(n, sizeof(*moved));
	struct mbj_tree *trees[2];
	struct figure figure;
	char name[24];

	if (!parents || !names || !shuffled || !moved)
		stop("memory", NULL);
	for (uint32_t i = 0; i < n; i++) {
		parents[i] = i % 10 == 0 ? UINT32_MAX : i - i % 10;
		names[i] = i;
		shuffled[i] = i;
	}
	for (uint32_t i = n - 1; i > 0; i--) {
		uint32_t j = (uint32_t)(mix(i * 7919u) % (i + 1));
		uint32_t held = shuffled[i];

		if (i % 10 == 0 || j % 10 == 0)
			continue;
		shuffled[i] = shuffled[j];
		shuffled[j] = held;
	}
	for (uint32_t i = 0; i < n; i++)
		moved[i] = parents[shuffled[i]];
	trees[0] = tree_make(n, parents, names);
	trees[1] = tree_make(n, moved, shuffled);
	figure = plan_time(trees[0], trees[1], rounds);
	(void)snprintf(name, sizeof(name), "permute-%u", n);
	report(name, n, figure, table_time(n));
	(void)printf("%-16s %9.0f bytes/mailbox held at the end\n", name,
		     figure.bytes / n);
	(void)printf("{\"bench\":\"plan\",\"case\":\"%s-memory\","
		     "\"value\":%.4g,\"unit\":\"bytes/mailbox\"}\n",
		     name, figure.bytes / n);
	mbj_tree_free(&trees[0]);
	mbj_tree_free(&trees[1]);
	free(parents);
	free(names);
	free(shuffled);
	free(moved);
	return figure.seconds / n;
}

static void chain_run(uint32_t n)
{
	uint32_t down[3000];
	uint32_t up[3000];
	uint32_t names[3000] = {0};
	struct mbj_tree *trees[2];

	for (uint32_t i = 0; i < n; i++) {
		down[i] = i ? i - 1 : UINT32_MAX;
		up[i] = i + 1 < n ? i + 1 : UINT32_MAX;
	}
	trees[0] = tree_make(n, down, names);
	trees[1] = tree_make(n, up, names);
	report("chain", n, plan_time(trees[0], trees[1], 3), table_time(n));
	mbj_tree_free(&trees[0]);
	mbj_tree_free(&trees[1]);
}

int main(int argc, char **argv)
{
	bool is_quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
	double small = permute_run(10000, 9);
	double large =
		permute_run(is_quick ? 50000 : 1000000, is_quick ? 1 : 3);

	(void)printf("%-16s %9.2f x  time a mailbox, large to small\n",
		     "growth", large / small);
	(void)printf("{\"bench\":\"plan\",\"case\":\"growth\","
		     "\"value\":%.4g,\"unit\":\"1\"}\n",
		     large / small);
	chain_run(3000);
	return 0;
}
