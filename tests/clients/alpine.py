"""Drives alpine through a terminal: waits for a pattern on its screen, then presses keys.

  alpine.py HOST:PORT USER PASSWORD FOLDER 'PATTERN=>KEYS'...      HOME is alpine's to use
"""
import os, pty, re, select, sys, time

host, user, password, folder, *steps = sys.argv[1:]
DEADLINE = time.time() + 60
server = "{%s/user=%s/novalidate-cert/notls}" % (host, user)
rc = os.path.join(os.environ["HOME"], "pinerc")
with open(rc, "w") as out:
    out.write(f"inbox-path={server}INBOX\nfolder-collections=Mail {server}[]\nlast-version-used=9.99\n"
              "feature-list=quit-without-confirm,expunge-without-confirm-everywhere\n"
              "user-domain=satchel.test\npersonal-name=Alice\n")
child, terminal = pty.fork()
if child == 0:
    os.environ["TERM"] = "xterm"
    os.execvp("alpine", ["alpine", "-i", "-p", rc, "-f", server + folder])
screen = b""


def read():
    """More of the screen; False when alpine has ended."""
    global screen
    ready, _, _ = select.select([terminal], [], [], max(0, DEADLINE - time.time()))
    if not ready:
        shown = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b" ", screen).decode(errors="replace")
        sys.exit(f"alpine did not come on; its screen:\n{shown[-3000:]}")
    try:
        more = os.read(terminal, 65536)
    except OSError:
        more = b""
    screen += more
    return bool(more)


for step in ["(?i)password=>%s\\r" % password, "(?i)preserve password=>n"] + steps:
    pattern, _, keys = step.partition("=>")
    while not (found := re.search(pattern.encode(), screen, re.DOTALL)):
        if not read():
            sys.exit(f"alpine ended before it showed {pattern!r}")
    # What came behind it may be what the next step waits for.
    screen = screen[found.end():]
    os.write(terminal, keys.encode().decode("unicode_escape").encode())
while read():
    pass
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
