/*
 * Whole families of small edits, one by one, always in the same order.
 */
#ifndef TEST_FAMILY_H
#define TEST_FAMILY_H

#include "small.h"

/* One edit; false ends the enumeration. */
typedef bool family_each(void *context, const struct small *small);

/*
 * count mailboxes without children, each of which keeps its name, takes any of
 * the others' or is deleted, all final names being different: the partial
 * injections of count names, 1,441,729 for 8.
 */
bool family_flat(uint32_t count, family_each *each, void *context);

/* How the mailboxes of family_forests are named. */
enum family_naming {
	FAMILY_NAMES_OWN,  /* each has one name and keeps it wherever it goes */
	FAMILY_NAMES_RANK, /* its rank among its siblings: slots are fought for
			    */
};

/*
 * All ordered pairs of labelled forests of count mailboxes: (count + 1) to the
 * power of 2 * (count - 1), 1,679,616 for 5.
 */
bool family_forests(uint32_t count, enum family_naming naming,
		    family_each *each, void *context);

/*
 * All edits of so many mailboxes kept, deleted and created, up to renaming of
 * mailboxes, and of names parent by parent: neither changes what can be done
 * in which order.  An edit is then its two forests, and who takes whose slot.
 */
bool family_types(uint32_t kept, uint32_t deleted, uint32_t created,
		  family_each *each, void *context);

#endif
