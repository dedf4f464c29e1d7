/* The host's side of the agent's protocol against a scripted agent: the guest is hostile. */
#include "config.h"

#include "common/error.h"
#include "common/fd.h"
#include "common/json.h"
#include "guest-agent/agent/protocol.h"
#include "tests/unit/agent-double.h"
#include "tests/unit/unit.h"
#include "vmm/agent-reply.h"
#include "vmm/agent.h"

#include <check.h>
#include <string.h>
#include <sys/socket.h>

#define LONG_US (60 * G_USEC_PER_SEC)
#define SHORT_US 300000

#define HELLO "{\"id\":%s,\"return\":{\"version\":1,\"agent\":\"1\"}}\n"
#define QUIESCED "{\"id\":%s,\"return\":{\"participants\":1,\"hooks\":0}}\n"
#define NONE "{\"id\":%s,\"return\":{\"dependencies\":[]}}\n"
#define HELD "{\"id\":%s,\"return\":{\"held\":true}}\n"

/* What the agent answers to each request, in order; "%s" is its id.  NULL: nothing any more. */
typedef struct
{
  const char *answers[5];
  const char *unasked; /* at once */
  gsize flood;         /* then so many bytes without newline */
  int closes_after;    /* as many answers it closes; 0: never */
  int code;            /* CS_ERROR_* with the policy "required", or -1: quiesced */
  const char *state;   /* with the policy "auto", how that begins or what is in it */
  int end_code;        /* of cs_agent_end with "required"; 0: success */
} Script;

#define VETO(text) "{\"id\":%s,\"error\":{\"class\":\"veto\",\"desc\":\"" text "\"}}\n"

static const Script scripts[] = {
  { { HELLO, QUIESCED, NONE, HELD }, .code = -1, .state = "quiesced" },
  /* Rests of older conversations, answers out of order, members that nobody knows. */
  { { "\n{}\n[]\n\"id\"\n" HELLO, "{\"id\":1,\"return\":{}}\n" QUIESCED,
      "{\"id\":%s,\"extra\":[1,{}],\"return\":{\"dependencies\":[],\"x\":1}}\n", HELD },
    .unasked = "rn\":{}}\n{\"id\":0,\"return\":{}}\n{\"id\":-5,\"return\":{}}\n",
    .code = -1,
    .state = "quiesced" },
  { { HELLO, QUIESCED, NONE, "{\"id\":%s,\"return\":{\"held\":false}}\n" },
    .code = -1,
    .state = "went on by itself",
    .end_code = CS_ERROR_REFUSED },
  { { HELLO, QUIESCED, NONE, "{\"id\":%s,\"return\":{\"held\":1}}\n" },
    .code = -1,
    .end_code = CS_ERROR_REFUSED },
  { { HELLO, QUIESCED, NONE, NULL },
    .code = -1,
    .state = "does not answer",
    .end_code = CS_ERROR_REFUSED },
  { { HELLO, QUIESCED, NONE }, .closes_after = 3, .code = -1, .end_code = CS_ERROR_REFUSED },
  /* Vetoes hold for every policy. */
  { { HELLO, VETO ("participant 'db': busy") },
    .code = CS_ERROR_REFUSED,
    .state = "participant 'db': busy" },
  { { HELLO, VETO ("no\\u001b[31m\\u0007 way\\n") },
    .code = CS_ERROR_REFUSED,
    .state = "no [31m  way" },
  /* Silence at every step; late is silent. */
  { { NULL }, .code = CS_ERROR_DEADLINE, .state = "does not answer in time" },
  { { HELLO, NULL }, .code = CS_ERROR_DEADLINE, .state = "does not answer in time" },
  { { HELLO, QUIESCED, NULL }, .code = CS_ERROR_DEADLINE, .state = "does not answer in time" },
  { { HELLO, "{\"id\":%s,\"return\":" }, .code = CS_ERROR_DEADLINE },
  { { "{\"id\":1,\"return\":{\"version\":1}}\n" }, .code = CS_ERROR_DEADLINE },
  { { HELLO, "{\"id\":%s}\n" }, .code = CS_ERROR_DEADLINE },
  { { HELLO, "{\"id\":%s,\"return\":{},\"error\":{}}\n" }, .code = CS_ERROR_DEADLINE },
  { { HELLO }, .closes_after = 1, .code = CS_ERROR_GONE },
  { { "{\"id\":%s,\"return\":{\"version\":2}}\n" }, .code = CS_ERROR_UNSUPPORTED },
  { { HELLO, "{\"id\":%s,\"error\":{\"class\":\"failed\",\"desc\":\"no\"}}\n" },
    .code = CS_ERROR_FAILED,
    .state = "the agent answers: no" },
  { { HELLO, "{\"id\":%s,\"error\":{}}\n" }, .code = CS_ERROR_FAILED, .state = "no reason given" },
  { { HELLO, QUIESCED,
      "{\"id\":%s,\"return\":{\"dependencies\":[{\"vm\":\"../x\",\"interval\":1}]}}\n" },
    .code = CS_ERROR_INVALID },
  { { HELLO, QUIESCED,
      "{\"id\":%s,\"return\":{\"dependencies\":[{\"vm\":\"a\",\"interval\":-1}]}}\n" },
    .code = CS_ERROR_INVALID },
  { { HELLO, QUIESCED, "{\"id\":%s,\"return\":{\"dependencies\":{}}}\n" },
    .code = CS_ERROR_INVALID },
  { { HELLO, QUIESCED, "{\"id\":%s,\"return\":{}}\n" }, .code = CS_ERROR_INVALID },
  { { HELLO }, .flood = 10 << 20, .code = CS_ERROR_INVALID, .state = "sends without end" },
};

typedef struct
{
  const Script *script;
  int fd;
  GString *heard; /* all requests */
} Agent;

/* The next line that is not empty; NULL when the other side has closed. */
static char *
agent_read (Agent *agent)
{
  g_autoptr (GString) line = g_string_new (NULL);
  char byte;
  while (recv (agent->fd, &byte, 1, 0) == 1)
    if (byte != '\n')
      g_string_append_c (line, byte);
    else if (line->len > 0)
      return g_string_free (g_steal_pointer (&line), FALSE);
  return NULL;
}

static gpointer
run_agent (gpointer data)
{
  Agent *agent = data;
  const Script *script = agent->script;
  char *line;
  agent_double_say (agent->fd, script->unasked, "");
  for (gsize i = 0; (line = agent_read (agent)) != NULL; i++)
    {
      g_autofree char *own = line;
      g_autoptr (CsJson) request = cs_json_parse_object (own, strlen (own), NULL);
      ck_assert_ptr_nonnull (request);
      g_string_append_printf (agent->heard, "%s\n", own);
      g_autofree char *id = g_strdup_printf ("%" G_GUINT64_FORMAT, cs_json_uint (request, "id", 0));
      /* hello may come again */
      if (i > 0 && g_strcmp0 (cs_json_string (request, "execute"), "hello") == 0)
        i = 0;
      agent_double_say (agent->fd, i < G_N_ELEMENTS (script->answers) ? script->answers[i] : NULL,
                        id);
      if (i == 0 && script->flood > 0)
        {
          g_autofree char *flood = g_strnfill (script->flood, 'x');
          agent_double_say (agent->fd, flood, "");
        }
      if (script->closes_after == (int)i + 1)
        shutdown (agent->fd, SHUT_RDWR);
    }
  return NULL;
}

/* Quiesces, resumes and ends; sets *@state. */
static bool
converse (const Script *script, CsAgentPolicy policy, char **state, char **heard, GError **error)
{
  int pair[2];
  Agent agent = { .script = script, .heard = g_string_new (NULL) };
  gint64 limit = script->code == CS_ERROR_DEADLINE ? SHORT_US
                 : script->end_code != 0           ? 10 * SHORT_US
                                                   : LONG_US;
  ck_assert_int_eq (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  agent.fd = pair[1];
  GThread *thread = g_thread_new ("agent", run_agent, &agent);
  CsAgent *own = cs_agent_new ("vm1", policy);
  cs_agent_set_intervals (own, 4, 5);
  bool good = cs_agent_quiesce_on (own, pair[0], "vm", limit, 1000000, error);
  if (good)
    {
      cs_agent_resume (own);
      good = cs_agent_end (own, error);
    }
  *state = g_strdup (cs_agent_state (own));
  ck_assert ((cs_agent_took (own) >= 0) == (script->code < 0));
  ck_assert ((cs_agent_dependencies (own) != NULL) == (script->code < 0));
  cs_agent_free (own);
  g_thread_join (thread);
  close (pair[1]);
  *heard = g_string_free (agent.heard, FALSE);
  return good;
}

START_TEST (required)
{
  const Script *script = &scripts[_i];
  g_autoptr (GError) error = NULL;
  g_autofree char *state = NULL, *heard = NULL;
  int code = script->code >= 0 ? script->code : script->end_code != 0 ? script->end_code : -1;
  bool good = converse (script, CS_AGENT_REQUIRED, &state, &heard, &error);
  ck_assert_msg (good == (code < 0), "%s", error ? error->message : state);
  ck_assert_msg (good || g_error_matches (error, CS_ERROR, code), "%s",
                 error ? error->message : "");
}
END_TEST

START_TEST (automatic)
{
  const Script *script = &scripts[_i];
  g_autoptr (GError) error = NULL;
  g_autofree char *state = NULL, *heard = NULL;
  bool good = converse (script, CS_AGENT_AUTO, &state, &heard, &error);
  ck_assert_msg (good == (script->code != CS_ERROR_REFUSED), "%s", error ? error->message : state);
  if (script->state != NULL)
    ck_assert_msg (strstr (state, script->state) != NULL, "%s", state);
}
END_TEST

/* The requests, in order, with who the guest is. */
START_TEST (requests)
{
  g_autofree char *state = NULL, *heard = NULL;
  ck_assert (converse (&scripts[0], CS_AGENT_AUTO, &state, &heard, NULL));
  g_auto (GStrv) lines = g_strsplit (heard, "\n", -1);
  ck_assert_uint_eq (g_strv_length (lines), 5);
  ck_assert_ptr_nonnull (strstr (lines[0], "\"hello\""));
  ck_assert_ptr_nonnull (strstr (lines[0], "\"vm\":\"vm1\",\"interval\":4"));
  ck_assert_ptr_nonnull (strstr (lines[1], "\"quiesce\""));
  ck_assert_ptr_nonnull (strstr (lines[1], "\"hold\":1000"));
  ck_assert_ptr_nonnull (strstr (lines[2], "\"dependencies\""));
  ck_assert_ptr_nonnull (strstr (lines[3], "\"resume\""));
  ck_assert_ptr_nonnull (strstr (lines[3], "\"vm\":\"vm1\",\"interval\":5"));
}
END_TEST

START_TEST (dependencies)
{
  static const char said[] =
      "{\"dependencies\":[{\"vm\":\"b\",\"interval\":2},{\"vm\":\"a-1\",\"interval\":0},"
      "{\"vm\":\"b\",\"interval\":7,\"more\":1},{\"vm\":\"b\",\"interval\":3}]}";
  g_autoptr (CsJson) result = cs_json_parse_object (said, strlen (said), NULL);
  g_autoptr (CsJson) array = cs_agent_reply_dependencies (result, NULL);
  ck_assert_ptr_nonnull (array);
  ck_assert_str_eq (json_object_to_json_string_ext (array, JSON_C_TO_STRING_PLAIN),
                    "[{\"vm\":\"b\",\"interval\":7},{\"vm\":\"a-1\",\"interval\":0}]");
}
END_TEST

START_TEST (cancelled)
{
  int pair[2];
  g_autoptr (GError) error = NULL;
  ck_assert_int_eq (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  CsAgent *agent = cs_agent_new ("vm1", CS_AGENT_AUTO);
  cs_agent_cancel (agent);
  ck_assert (!cs_agent_quiesce_on (agent, pair[0], "vm", LONG_US, 0, &error));
  ck_assert (g_error_matches (error, CS_ERROR, CS_ERROR_CANCELLED));
  cs_agent_free (agent);
  close (pair[1]);
}
END_TEST

START_TEST (after_restore)
{
  static const Script script = { {
      HELLO,
      "{\"id\":%s,\"return\":{\"clock\":\"set\",\"random\":\"no\\u0007\",\"announced\":99999}}\n",
  } };
  int pair[2];
  Agent agent = { .script = &script, .heard = g_string_new (NULL) };
  ck_assert_int_eq (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  agent.fd = pair[1];
  GThread *thread = g_thread_new ("agent", run_agent, &agent);
  g_autoptr (CsJson) report = cs_agent_converse_restore (pair[0], "vm", "vm1", 6, LONG_US, LONG_US);
  close (pair[0]);
  g_thread_join (thread);
  close (pair[1]);
  ck_assert_str_eq (cs_json_string (report, "agent"), "restored");
  ck_assert_str_eq (cs_json_string (report, "clock"), "set");
  ck_assert_str_eq (cs_json_string (report, "random"), "no");
  ck_assert_uint_eq (cs_json_uint (report, "announced", 0), 1000);
  ck_assert_ptr_nonnull (strstr (agent.heard->str, "\"entropy\":\""));
  ck_assert_ptr_nonnull (strstr (agent.heard->str, "\"interval\":6"));
  g_string_free (agent.heard, TRUE);
}
END_TEST

/* Its first word is not waited for as long as the rest of its work. */
START_TEST (silent_after_restore)
{
  int pair[2];
  ck_assert_int_eq (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  g_autoptr (CsJson) report =
      cs_agent_converse_restore (pair[0], "vm", "vm1", 6, SHORT_US, LONG_US);
  ck_assert_ptr_nonnull (strstr (cs_json_string (report, "agent"), "does not answer in time"));
  close (pair[0]);
  close (pair[1]);
}
END_TEST

/* Any bytes at all: no crash, no wait beyond the deadline, no success. */
START_TEST (noise)
{
  static const char *const words[] = { "\n",      "{",         "}",       "\"return\"", ": ",
                                       "1",       "{}",        "\"id\"",  "\"error\"",  "[",
                                       "\\u0000", "\xc3",      "\x01",    "-1",         "null",
                                       ",",       "\"class\"", "\"veto\"" };
  g_autoptr (GRand) rand = g_rand_new_with_seed ((guint32)_i);
  g_autoptr (GString) text = g_string_new (NULL);
  for (int i = g_rand_int_range (rand, 1, 400); i > 0; i--)
    g_string_append (text, words[g_rand_int_range (rand, 0, G_N_ELEMENTS (words))]);
  g_string_append_len (text, "\0\0\n", 3);
  int pair[2];
  g_autoptr (GError) error = NULL;
  ck_assert_int_eq (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  ck_assert (cs_fd_write_all (pair[1], text->str, text->len, -1, "agent", NULL));
  CsAgent *agent = cs_agent_new ("vm1", CS_AGENT_REQUIRED);
  ck_assert (!cs_agent_quiesce_on (agent, pair[0], "vm", 2000, 0, &error));
  cs_agent_free (agent);
  close (pair[1]);
}
END_TEST

START_TEST (policies)
{
  CsAgentPolicy policy;
  ck_assert (cs_agent_policy_from_name ("required", &policy) && policy == CS_AGENT_REQUIRED);
  ck_assert (!cs_agent_policy_from_name ("on", &policy));
  ck_assert (!cs_agent_policy_from_name (NULL, &policy));
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("agent");
  TCase *tcase = tcase_create ("all");
  tcase_add_loop_test (tcase, required, 0, G_N_ELEMENTS (scripts));
  tcase_add_loop_test (tcase, automatic, 0, G_N_ELEMENTS (scripts));
  tcase_add_test (tcase, requests);
  tcase_add_test (tcase, dependencies);
  tcase_add_test (tcase, cancelled);
  tcase_add_test (tcase, after_restore);
  tcase_add_test (tcase, silent_after_restore);
  tcase_add_loop_test (tcase, noise, 0, 50);
  tcase_add_test (tcase, policies);
  suite_add_tcase (suite, tcase);
  return unit_run (suite);
}
