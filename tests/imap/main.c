/*
 * The unit tests of the imap layer.
 */
#include "cases.h"

int main(void)
{
	static const test_case_fn cases[] = {
		test_acl_case,	test_date_case,	 test_folder_case,
		test_imap_case, test_list_case,	 test_mbox_case,
		test_name_case, test_write_case,
	};

	return test_run("imap", cases, sizeof(cases) / sizeof(cases[0]));
}
