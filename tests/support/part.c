/*
 * Parts of long runs.
 */
#include "support.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

void test_part_init(struct test_part *part)
{
	const char *text = getenv("MBJ_PART");

	*part = (struct test_part){.k = 1, .n = 1};
	if (text == NULL)
		return;
	ck_assert_msg(sscanf(text, "%" SCNu64 "/%" SCNu64, &part->k,
			     &part->n) == 2 &&
			      part->k >= 1 && part->k <= part->n,
		      "MBJ_PART is not k/n with 1 <= k <= n: %s", text);
}

bool test_part_takes(struct test_part *part)
{
	return part->at++ % part->n == part->k - 1;
}
