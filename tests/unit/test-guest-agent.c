/* The guest agent's protocol against a scripted agent: the guest is hostile. */
#include "config.h"

#include "common/error.h"
#include "common/fd.h"
#include "common/json.h"
#include "tests/unit/agent-double.h"
#include "tests/unit/unit.h"
#include "vmm/guest-agent.h"
#include "vmm/guest-port.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* What the agent says; "%s" is the sync's id.  NULL: nothing.  @before: at once, unasked. */
typedef struct
{
  const char *before, *sync, *time;
  gsize flood; /* bytes without newline, instead of an answer to the sync */
  bool closes; /* after the answer to the sync */
  int code;    /* CS_ERROR_*, or -1: success */
  const char *message;
} Script;

static const Script scripts[] = {
  { NULL, "\xff{\"return\": %s}\n", "{\"return\": {}}\n", .code = -1 },
  /* The rest of an older conversation, and a whole answer to somebody else's sync. */
  { "rn\": 17}\n{\"return\": {}}\n\xff{\"return\": 1}\n", "\xff{\"return\": %s}\n",
    "{\"return\": {}}\n", .code = -1 },
  { "\xff\xff\xff\n\n\n\xff[]\n\xff{\"return\": \"x\"}\n", "\xff\xff{\"return\": %s}\n",
    "{\"return\": {}}\n", .code = -1 },
  /* Without the delimiter it is not ours. */
  { NULL, "{\"return\": %s}\n", NULL, .code = CS_ERROR_DEADLINE },
  { NULL, NULL, NULL, .code = CS_ERROR_DEADLINE, .message = "does not answer in time" },
  { NULL, "\xff{\"return\": %s}\n", NULL, .code = CS_ERROR_DEADLINE },
  { NULL, "\xff{\"return\": %s}\n", "{\"return\"", .code = CS_ERROR_DEADLINE },
  { NULL, "\xff{\"return\": %s}\n", "{\"return\": \n", .code = CS_ERROR_INVALID },
  { NULL, "\xff{\"return\": %s}\n", "\n", .code = CS_ERROR_INVALID },
  { NULL, "\xff{\"return\": %s}\n", "{\"error\": 3}\n", .code = CS_ERROR_INVALID },
  { NULL, "\xff{\"return\": %s}\n", "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\n",
    .code = CS_ERROR_INVALID },
  { NULL, "\xff{\"return\": %s}\n", "{\"error\": {\"class\": \"GenericError\"}}\n",
    .code = CS_ERROR_FAILED, .message = "no reason given" },
  { NULL, "\xff{\"return\": %s}\n", "{\"error\": {\"desc\": \"no\\u001b[31m\\u0007 clock\\n\"}}\n",
    .code = CS_ERROR_FAILED, .message = "no [31m  clock" },
  { NULL, "\xff{\"return\": %s}\n", NULL, .closes = true, .code = CS_ERROR_GONE },
  { .flood = 10 << 20, .code = CS_ERROR_INVALID, .message = "sends without end" },
};

typedef struct
{
  const Script *script;
  int fd;
  gint64 time; /* that it was told; 0: none */
} Agent;

/* The next line, without the delimiter; NULL when the other side has closed. */
static char *
agent_read (Agent *agent)
{
  g_autoptr (GString) line = g_string_new (NULL);
  char byte;
  while (recv (agent->fd, &byte, 1, 0) == 1)
    if (byte == '\n')
      return g_string_free (g_steal_pointer (&line), FALSE);
    else if (byte != '\xff')
      g_string_append_c (line, byte);
  return NULL;
}

static char *
command_of (const char *line, const char *member, gint64 *value)
{
  g_autoptr (CsJson) object = cs_json_parse_object (line, strlen (line), NULL);
  ck_assert_ptr_nonnull (object);
  *value = (gint64)cs_json_uint (cs_json_member_object (object, "arguments"), member, 0);
  return g_strdup (cs_json_string (object, "execute"));
}

static gpointer
run_agent (gpointer data)
{
  Agent *agent = data;
  gint64 id = 0;
  agent_double_say (agent->fd, agent->script->before, "");
  g_autofree char *line = agent_read (agent);
  ck_assert_ptr_nonnull (line);
  g_autofree char *sync = command_of (line, "id", &id);
  ck_assert_str_eq (sync, "guest-sync-delimited");
  if (agent->script->flood > 0)
    {
      g_autofree char *flood = g_strnfill (agent->script->flood, 'x');
      agent_double_say (agent->fd, flood, "");
      return NULL;
    }
  g_autofree char *number = g_strdup_printf ("%" G_GINT64_FORMAT, id);
  agent_double_say (agent->fd, agent->script->sync, number);
  if (agent->script->closes)
    {
      shutdown (agent->fd, SHUT_RDWR);
      return NULL;
    }
  g_autofree char *next = agent_read (agent);
  if (next == NULL)
    return NULL;
  g_autofree char *set = command_of (next, "time", &agent->time);
  ck_assert_str_eq (set, "guest-set-time");
  agent_double_say (agent->fd, agent->script->time, "");
  return NULL;
}

START_TEST (conversation)
{
  int pair[2];
  g_autoptr (GError) error = NULL;
  Agent agent = { .script = &scripts[_i] };
  bool waits = agent.script->code == CS_ERROR_DEADLINE;
  ck_assert_int_eq (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  agent.fd = pair[1];
  gint64 before = g_get_real_time () * 1000;
  GThread *thread = g_thread_new ("agent", run_agent, &agent);
  bool ok = cs_guest_agent_converse (
      pair[0], "vm", g_get_monotonic_time () + (waits ? 200000 : 60 * G_USEC_PER_SEC), &error);
  close (pair[0]);
  g_thread_join (thread);
  close (pair[1]);
  ck_assert_msg (ok == (agent.script->code < 0), "%s", error ? error->message : "no error");
  if (ok)
    {
      ck_assert_int_ge (agent.time, before);
      ck_assert_int_le (agent.time, g_get_real_time () * 1000);
      return;
    }
  ck_assert_msg (g_error_matches (error, CS_ERROR, agent.script->code), "%s", error->message);
  if (agent.script->message != NULL)
    ck_assert_msg (strstr (error->message, agent.script->message) != NULL, "%s", error->message);
}
END_TEST

/* Any bytes at all: no crash, no wait beyond the deadline, no success. */
START_TEST (noise)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed ((guint32)_i);
  static const char *const words[] = { "\xff",    "\n",   "{",    "}",         "\"return\"",
                                       ": ",      "1",    "{}",   "\"error\"", "[",
                                       "\\u0000", "\xc3", "\x01", "-1",        "null" };
  g_autoptr (GString) text = g_string_new (NULL);
  for (int i = g_rand_int_range (rand, 1, 400); i > 0; i--)
    g_string_append (text, words[g_rand_int_range (rand, 0, G_N_ELEMENTS (words))]);
  g_string_append_len (text, "\0\0\n", 3);
  int pair[2];
  g_autoptr (GError) error = NULL;
  ck_assert_int_eq (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  ck_assert (cs_fd_write_all (pair[1], text->str, text->len, -1, "agent", NULL));
  ck_assert (!cs_guest_agent_converse (pair[0], "vm", g_get_monotonic_time () + 2000, &error));
  g_clear_error (&error);
  cs_guest_agent_check_reply ("vm", text->str, text->len, NULL);
  close (pair[0]);
  close (pair[1]);
}
END_TEST

START_TEST (chardev_names)
{
  static const struct
  {
    const char *filename, *path;
    int code;
  } cases[] = {
    { "disconnected:unix:/run/a.sock,server=on", "/run/a.sock", -1 },
    { "disconnected:unix:/run/a,server,b.sock,server=on", "/run/a,server,b.sock", -1 },
    { "unix:/run/a.sock,server=on", NULL, CS_ERROR_BUSY },
    { "unix:/run/a.sock", NULL, CS_ERROR_UNSUPPORTED },
    { "disconnected:tcp:1.2.3.4:5,server=on", NULL, CS_ERROR_UNSUPPORTED },
    { "pty:/dev/pts/1", NULL, CS_ERROR_UNSUPPORTED },
    { "", NULL, CS_ERROR_UNSUPPORTED },
    { NULL, NULL, CS_ERROR_UNSUPPORTED },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autofree char *path = cs_guest_port_socket_path (cases[i].filename, &error);
      ck_assert_msg (g_strcmp0 (path, cases[i].path) == 0, "%s: %s", cases[i].filename, path);
      ck_assert (cases[i].code < 0 || g_error_matches (error, CS_ERROR, cases[i].code));
    }
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("guest-agent");
  TCase *tcase = tcase_create ("all");
  tcase_add_loop_test (tcase, conversation, 0, G_N_ELEMENTS (scripts));
  tcase_add_loop_test (tcase, noise, 0, 50);
  tcase_add_test (tcase, chardev_names);
  suite_add_tcase (suite, tcase);
  return unit_run (suite);
}
