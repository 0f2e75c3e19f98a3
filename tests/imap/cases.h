/*
 * The cases of the imap layer, one per noun.
 */
#ifndef TEST_IMAP_CASES_H
#define TEST_IMAP_CASES_H

#include "support.h"

TCase *test_acl_case(void);
TCase *test_date_case(void);
TCase *test_folder_case(void);
TCase *test_imap_case(void);
TCase *test_list_case(void);
TCase *test_mbox_case(void);
TCase *test_name_case(void);
TCase *test_write_case(void);

#endif
