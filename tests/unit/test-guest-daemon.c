/* clusnap-agent itself, with a unix socket for its port: a host that says anything, and
 * participants. */
#include "config.h"

#include "common/fd.h"
#include "common/json.h"
#include "guest-agent/agent/protocol.h"
#include "guest-agent/participant/participant.h"
#include "tests/unit/unit.h"

#include <check.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#define LONG_MS 60000

static char *directory, *participants;
static int listener = -1, host = -1;
static pid_t daemon_pid;
static guint64 next_id;

/* ---- a participant ---- */

typedef struct
{
  CsParticipant *participant;
  const char *veto; /* "": not ready yet */
  guint prepared, resumed;
  int restored;
  CsParticipantIdentity identity;
  CsParticipantDependency depends[2];
  guint n_depends;
} Member;

static int
on_prepare (void *data, unsigned deadline, char *reason)
{
  Member *member = data;
  member->prepared++;
  if (member->veto != NULL)
    g_strlcpy (reason, member->veto, CS_PARTICIPANT_REASON);
  return member->veto == NULL;
}

static void
on_resume (void *data, const CsParticipantIdentity *identity, int restored)
{
  Member *member = data;
  member->resumed++;
  member->restored = restored;
  member->identity = *identity;
}

static size_t
on_dependencies (void *data, CsParticipantDependency *dependencies, size_t n)
{
  Member *member = data;
  memcpy (dependencies, member->depends, sizeof member->depends);
  return member->n_depends;
}

static const CsParticipantHandlers handlers = { on_prepare, on_resume, on_dependencies };

static void
join (Member *member, const char *name)
{
  do
    member->participant = cs_participant_open (participants, name, &handlers, member);
  while (member->participant == NULL && (g_usleep (10000), true));
}

/* ---- the host ---- */

static void
host_accept (void)
{
  cs_fd_cleanup (&host);
  host = accept (listener, NULL, NULL);
  ck_assert_int_ge (host, 0);
}

static void
host_send (const char *text)
{
  ck_assert (cs_fd_write_all (host, text, strlen (text), -1, "port", NULL));
}

/* Serves @members until a line of the host's is there, and returns it; NULL: closed. */
static char *
host_read (Member *members, guint n)
{
  g_autoptr (GString) line = g_string_new (NULL);
  for (;;)
    {
      struct pollfd entries[4] = { { .fd = host, .events = POLLIN } };
      for (guint i = 0; i < n; i++)
        entries[i + 1] =
            (struct pollfd){ .fd = cs_participant_fd (members[i].participant), .events = POLLIN };
      ck_assert_int_gt (poll (entries, n + 1, LONG_MS), 0);
      for (guint i = 0; i < n; i++)
        if (entries[i + 1].revents != 0)
          ck_assert_int_eq (cs_participant_dispatch (members[i].participant), 0);
      char byte;
      if (entries[0].revents == 0)
        continue;
      if (recv (host, &byte, 1, 0) != 1)
        return NULL;
      if (byte == '\n')
        return g_string_free (g_steal_pointer (&line), FALSE);
      g_string_append_c (line, byte);
    }
}

/* The answer to @execute with @arguments (", ..."), as a new object without its id. */
static char *
ask (const char *execute, const char *arguments, Member *members, guint n)
{
  guint64 id = next_id++;
  g_autofree char *text = g_strdup_printf ("{\"execute\":\"%s\",\"id\":%" G_GUINT64_FORMAT "%s}\n",
                                           execute, id, arguments);
  host_send (text);
  g_autofree char *line = host_read (members, n);
  ck_assert_ptr_nonnull (line);
  g_autoptr (CsJson) answer = cs_json_parse_object (line, strlen (line), NULL);
  ck_assert_msg (answer != NULL && cs_json_uint (answer, "id", 0) == id, "%s", line);
  json_object_object_del (answer, "id");
  return g_strdup (json_object_to_json_string_ext (answer, JSON_C_TO_STRING_PLAIN));
}

static void
expect (const char *execute, const char *arguments, Member *members, guint n, const char *wanted)
{
  g_autofree char *answer = ask (execute, arguments, members, n);
  ck_assert_msg (strstr (answer, wanted) != NULL, "%s%s: %s, not %s", execute, arguments, answer,
                 wanted);
}

#define QUIESCE ",\"deadline\":60000,\"hold\":60000"
#define VM ",\"vm\":\"vm1\",\"interval\":5"

static void
serve_until (Member *member, const guint *count, guint wanted)
{
  while (*count < wanted)
    {
      struct pollfd entry = { .fd = cs_participant_fd (member->participant), .events = POLLIN };
      ck_assert_int_gt (poll (&entry, 1, LONG_MS), 0);
      ck_assert_int_eq (cs_participant_dispatch (member->participant), 0);
    }
}

/* ---- the fixture ---- */

static void
write_hook (const char *name, const char *text)
{
  g_autofree char *path = g_build_filename (directory, "hooks", name, NULL);
  g_autofree char *script = g_strdup_printf ("#!/bin/sh\n%s\n", text);
  ck_assert (g_file_set_contents (path, script, -1, NULL));
  ck_assert_int_eq (g_chmod (path, 0755), 0);
}

/* What the hooks have written. */
static char *
hooks_said (void)
{
  g_autofree char *path = g_build_filename (directory, "said", NULL);
  char *text = NULL;
  return g_file_get_contents (path, &text, NULL, NULL) ? text : g_strdup ("");
}

static void
setup (void)
{
  const char *build = g_getenv ("builddir");
  g_autofree char *program = g_build_filename (build != NULL ? build : ".", "clusnap-agent", NULL);
  directory = g_dir_make_tmp ("clusnap-test-XXXXXX", NULL);
  participants = g_build_filename (directory, "participants.sock", NULL);
  g_autofree char *port = g_build_filename (directory, "port", NULL);
  g_autofree char *hooks = g_build_filename (directory, "hooks", NULL);
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  g_mkdir (hooks, 0755);
  g_strlcpy (address.sun_path, port, sizeof address.sun_path);
  listener = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ck_assert_int_eq (bind (listener, (struct sockaddr *)&address, sizeof address), 0);
  ck_assert_int_eq (listen (listener, 1), 0);
  /* The host's own clock, random numbers and network stay as they are: after-restore is tested in
   * guests. */
  const char *argv[] = { program,      "--keep-clock", "--port", port, "--socket",
                         participants, "--hooks",      hooks,    NULL };
  ck_assert (g_spawn_async (NULL, (char **)argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL,
                            &daemon_pid, NULL));
  next_id = 100;
  host_accept ();
}

static void
teardown (void)
{
  g_autofree char *command = g_strdup_printf ("rm -rf '%s'", directory);
  int status = 0;
  kill (daemon_pid, SIGTERM);
  waitpid (daemon_pid, &status, 0);
  ck_assert_msg (WIFEXITED (status) && WEXITSTATUS (status) == 0, "clusnap-agent ended with %d",
                 status);
  cs_fd_cleanup (&host);
  cs_fd_cleanup (&listener);
  g_spawn_command_line_sync (command, NULL, NULL, NULL, NULL);
  g_free (directory);
  g_free (participants);
}

/* ---- tests ---- */

START_TEST (quiesce_and_resume)
{
  Member members[2] = { { .depends = { { "vm2", 3 }, { "vm3", 1 } }, .n_depends = 2 },
                        { .depends = { { "vm2", 4 } }, .n_depends = 1 } };
  write_hook ("20-b", "echo b $1 $CLUSNAP_VM $CLUSNAP_INTERVAL >>\"${0%/*}/../said\"");
  write_hook ("10-a", "echo a $1 $CLUSNAP_VM $CLUSNAP_INTERVAL >>\"${0%/*}/../said\"");
  write_hook ("15-old~", "exit 1");
  write_hook ("16.dpkg-old", "exit 1");
  expect ("hello", ",\"version\":1,\"vm\":\"vm1\",\"interval\":4", NULL, 0, "\"participants\":0");
  join (&members[0], "one");
  join (&members[1], "two");
  expect ("quiesce", QUIESCE, members, 2, "{\"return\":{\"participants\":2,\"hooks\":2}}");
  ck_assert_uint_eq (members[0].prepared + members[1].prepared, 2);
  expect ("info", "", members, 2, "\"quiesced\":true,\"vm\":\"vm1\",\"interval\":4");
  expect ("dependencies", ",\"deadline\":60000", members, 2,
          "{\"return\":{\"dependencies\":[{\"vm\":\"vm2\",\"interval\":4},{\"vm\":\"vm3\","
          "\"interval\":1}]}}");
  expect ("resume", VM, members, 2, "{\"return\":{\"held\":true}}");
  serve_until (&members[0], &members[0].resumed, 1);
  serve_until (&members[1], &members[1].resumed, 1);
  ck_assert_str_eq (members[1].identity.vm, "vm1");
  ck_assert_uint_eq (members[1].identity.interval, 5);
  ck_assert_int_eq (members[1].restored, 0);
  g_autofree char *said = hooks_said ();
  ck_assert_str_eq (said, "a quiesce vm1 4\nb quiesce vm1 4\nb resume vm1 5\na resume vm1 5\n");
  expect ("resume", VM, members, 2, "{\"return\":{\"held\":false}}");
  cs_participant_close (members[0].participant);
  cs_participant_close (members[1].participant);
}
END_TEST

START_TEST (vetoes)
{
  Member member = { .veto = "the data\nbase is busy" };
  expect ("hello", "", NULL, 0, "\"version\":1");
  join (&member, "db");
  expect ("ping", "", &member, 1, "{\"return\":{}}");
  expect ("quiesce", QUIESCE, &member, 1,
          "\"class\":\"veto\",\"desc\":\"participant 'db': the data?base is busy\"");
  serve_until (&member, &member.resumed, 1);
  /* Not ready in time; what it says later is about nothing. */
  member.veto = "";
  expect ("quiesce", ",\"deadline\":50", &member, 1, "participant 'db': not ready in time");
  ck_assert_int_eq (cs_participant_ready (member.participant, NULL), 0);
  serve_until (&member, &member.resumed, 2);
  member.veto = NULL;
  write_hook ("10-a", "echo a $1 >>\"${0%/*}/../said\"");
  write_hook ("20-no", "[ $1 != quiesce ]");
  write_hook ("30-c", "echo c $1 >>\"${0%/*}/../said\"");
  expect ("quiesce", QUIESCE, &member, 1, "hook '20-no' failed with status 1");
  serve_until (&member, &member.resumed, 3);
  g_autofree char *said = hooks_said ();
  ck_assert_str_eq (said, "a quiesce\na resume\n");
  write_hook ("20-no", "[ $1 != quiesce ] || sleep 600");
  expect ("quiesce", ",\"deadline\":3000", &member, 1, "hook '20-no' did not end in time");
  serve_until (&member, &member.resumed, 4);
  expect ("info", "", &member, 1, "\"quiesced\":false");
  cs_participant_close (member.participant);
}
END_TEST

/* The host's connection goes away at whatever point, or its resume does not come. */
START_TEST (host_is_gone)
{
  Member member = { .veto = "" };
  expect ("hello", "", NULL, 0, "\"version\":1");
  join (&member, "db");
  expect ("ping", "", &member, 1, "{\"return\":{}}");
  host_send ("{\"execute\":\"quiesce\",\"id\":1" QUIESCE "}\n");
  serve_until (&member, &member.prepared, 1);
  host_accept ();
  serve_until (&member, &member.resumed, 1);
  member.veto = NULL;
  expect ("quiesce", QUIESCE, &member, 1, "\"return\"");
  /* The host comes back within the time of grace: nobody has resumed. */
  host_accept ();
  g_autofree char *hello = ask ("hello", "", &member, 1);
  /* Unless this host is so busy that the time was over. */
  if (strstr (hello, "\"quiesced\":true") != NULL)
    {
      ck_assert_uint_eq (member.resumed, 1);
      host_accept ();
    }
  serve_until (&member, &member.resumed, 2);
  expect ("quiesce", ",\"deadline\":60000,\"hold\":1", &member, 1, "\"return\"");
  ck_assert_uint_eq (member.resumed, 2);
  expect ("resume", "", &member, 1, "{\"return\":{\"held\":true}}");
  expect ("quiesce", ",\"deadline\":3000,\"hold\":1", &member, 1, "\"return\"");
  serve_until (&member, &member.resumed, 4);
  expect ("resume", "", &member, 1, "{\"return\":{\"held\":false}}");
  /* It is given up before it is answered. */
  member.veto = "";
  host_send ("{\"execute\":\"quiesce\",\"id\":7" QUIESCE "}\n");
  serve_until (&member, &member.prepared, 5);
  host_send ("{\"execute\":\"resume\",\"id\":8}\n");
  g_autofree char *first = host_read (&member, 1), *second = host_read (&member, 1);
  ck_assert_msg (strstr (first, "\"class\":\"cancelled\"") != NULL, "%s", first);
  ck_assert_str_eq (second, "{\"id\":8,\"return\":{\"held\":false}}");
  cs_participant_close (member.participant);
}
END_TEST

START_TEST (nonsense)
{
  g_autofree char *flood = g_strnfill (1 << 20, 'x');
  host_send ("\n\n{\n[]\n{\"id\":3}\n");
  g_autofree char *answer = host_read (NULL, 0);
  ck_assert_msg (strstr (answer, "\"class\":\"invalid\"") != NULL, "%s", answer);
  expect ("format-disk", "", NULL, 0, "this agent has no such command");
  host_send (flood);
  host_send ("\n");
  expect ("ping", "", NULL, 0, "{\"return\":{}}");
  /* What comes before a hello is out of date. */
  host_send ("{\"execute\":\"quiesce\",\"id\":1}\n\n{\"execute\":\"hello\",\"id\":77}\n");
  g_autofree char *hello = host_read (NULL, 0);
  ck_assert_msg (g_str_has_prefix (hello, "{\"id\":77,"), "%s", hello);
  expect ("info", "", NULL, 0, "\"quiesced\":false");
}
END_TEST

/* Participants that do not keep to the protocol, and too many of them. */
START_TEST (bad_participants)
{
  static const char *const lines[] = {
    "hello\n", "hello 1 ../x\n",         "ready 1\n",
    "\n",      "hello 1 a\nhello 1 a\n", "hello 1 a\nprepare 1 1\n"
  };
  Member member = { 0 };
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  g_autofree char *flood = g_strnfill (4096, 'x');
  int fds[80];
  join (&member, "good");
  g_strlcpy (address.sun_path, participants, sizeof address.sun_path);
  for (gsize i = 0; i < G_N_ELEMENTS (fds); i++)
    {
      const char *text = i < G_N_ELEMENTS (lines)    ? lines[i]
                         : i == G_N_ELEMENTS (lines) ? flood
                                                     : "";
      fds[i] = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
      ck_assert_int_eq (connect (fds[i], (struct sockaddr *)&address, sizeof address), 0);
      /* One too many may be closed already: to such a one not even nothing can be sent. */
      if (text[0] != '\0')
        ck_assert_int_ge (send (fds[i], text, strlen (text), MSG_NOSIGNAL), 0);
      char rest[256];
      while (text[0] != '\0' && recv (fds[i], rest, sizeof rest, 0) > 0)
        ;
    }
  expect ("hello", "", &member, 1, "\"participants\":1");
  expect ("quiesce", QUIESCE, &member, 1, "{\"return\":{\"participants\":1,\"hooks\":0}}");
  expect ("resume", VM, &member, 1, "{\"return\":{\"held\":true}}");
  for (gsize i = 0; i < G_N_ELEMENTS (fds); i++)
    close (fds[i]);
  cs_participant_close (member.participant);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("guest-daemon");
  TCase *tcase = tcase_create ("all");
  tcase_add_checked_fixture (tcase, setup, teardown);
  tcase_add_test (tcase, quiesce_and_resume);
  tcase_add_test (tcase, vetoes);
  tcase_add_test (tcase, host_is_gone);
  tcase_add_test (tcase, nonsense);
  tcase_add_test (tcase, bad_participants);
  suite_add_tcase (suite, tcase);
  return unit_run (suite);
}
