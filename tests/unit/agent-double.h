/* What tests that play an agent in a guest share. */
#ifndef CS_TESTS_AGENT_DOUBLE_H
#define CS_TESTS_AGENT_DOUBLE_H

/* Says @format (NULL: nothing) on the socket @fd, with @id for each "%s" in it, until the other
 * side has closed. */
void agent_double_say (int fd, const char *format, const char *id);

#endif
