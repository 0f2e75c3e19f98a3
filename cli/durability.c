/*
 * See durability.h.
 */
#include "durability.h"

#include <string.h>

#include <mbj/received.h>
#include <mbj/replicas.h>

#include "number.h"

#define RECEIVED "received:"

enum { WITHIN_MS = 10000 };

/* False: it is no level that there is. */
static bool level_read(const char *text, uint32_t *ret_replicas)
{
	uint64_t number = 0;

	*ret_replicas = 0;
	if (text == NULL || strcmp(text, "durable") == 0)
		return true;
	if (strncmp(text, RECEIVED, strlen(RECEIVED)) != 0 ||
	    !number_read(text + strlen(RECEIVED), MBJ_REPLICAS_MAX, &number))
		return false;
	*ret_replicas = (uint32_t)number;
	return number > 0;
}

bool durability_read(const struct cli_call *call,
		     struct durability *ret_durability)
{
	const char *level = call->options.durability;
	const char *within = call->options.within;
	uint64_t ms = WITHIN_MS;

	if (!level_read(level, &ret_durability->replicas)) {
		cli_say(call,
			"--durability is durable, or received:N for 1 to %d "
			"replicas, not \"%s\"",
			MBJ_REPLICAS_MAX, level);
		return false;
	}
	if (within != NULL && ret_durability->replicas == 0) {
		cli_say(call, "--within is for --durability received:N");
		return false;
	}
	if (within != NULL &&
	    !number_read(within, MBJ_RECEIVED_WAIT_MAX, &ms)) {
		cli_say(call, "--within is 0 to %d milliseconds, not \"%s\"",
			MBJ_RECEIVED_WAIT_MAX, within);
		return false;
	}
	ret_durability->wait_ms = (uint32_t)ms;
	/* 75 has an MTA send it again: that is to be known for the same. */
	if (call->verb->id == CLI_VERB_DELIVER &&
	    ret_durability->replicas > 0 && call->options.request_id == NULL) {
		cli_say(call, "--durability received:N needs --request-id: a "
			      "message that is sent again is to be the same");
		return false;
	}
	return true;
}
