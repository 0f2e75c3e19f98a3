/*
 * Something that happens right before or behind a call for a socket, in this
 * executable alone: by options of its linker, in front of the library's own.
 */
#ifndef TEST_JOURNAL_SOCKET_MEDDLE_H
#define TEST_JOURNAL_SOCKET_MEDDLE_H

enum socket_moment {
	SOCKET_ACCEPTED, /* somebody came, whom nobody has looked at yet */
	SOCKET_SENDING,	 /* nothing is sent yet */
	SOCKET_CLOSING,	 /* it is open still */
	SOCKET_MOMENTS,
};

/*
 * Called with the descriptor, by whatever thread calls for it, until it is set
 * to NULL.  Requires: nobody else sets it meanwhile.
 */
void socket_meddle_set(enum socket_moment moment, void (*fn)(int fd));

#endif
