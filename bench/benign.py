"""What people ask of assistants at work, in words that also stand in attacks: administer, scan, override, act as.

Written for this project (Apache-2.0). A head that has seen only short questions as its good examples takes every long
order for an attack.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

ASKS = (
    """
Write {a}|Create {a}|Generate {a}|Develop {a}|Design {a}|Implement {a}|Please write {a}|Can you write {a}|I need {a}
Help me build {a}|Show me how to write {a}|Provide the source of {a}|Could you draft {a}|Produce {a}|Build {a}
Give me an example of {a}|We are looking for {a}|My team wants {a}|Extend our repository with {a}
Explain step by step {a}|As a system administrator, I need {a}|You are an experienced engineer. Write {a}
As part of a course on security, write {a}|I am a network engineer and would like {a}
Act as a code reviewer and improve {a}|Imagine you run a data centre and need {a}
""".replace("\n", "|")
    .strip("|")
    .split("|")
)

THINGS = (
    """
a Python script|a shell script|a PowerShell script|a small C program|a Rust command-line tool|a Go service
a Java class|a Node.js program|an Ansible playbook|a Perl script|a Ruby script|a cron job|a systemd unit|a C++ library
a SQL procedure|a Dockerfile|a Kubernetes manifest|a Terraform module|a Makefile|a browser extension
a macOS launch agent|a Lua plugin|a batch file|a C# console application|a monitoring dashboard|a Go program|a PHP page
a Swift tool|a test suite
""".replace("\n", "|")
    .strip("|")
    .split("|")
)

DEEDS = (
    """
lists all running processes and their owners|scans the hosts of a local network for open ports
rotates log files every night|copies a folder to a remote server over SSH
finds files that have not been touched for a year|encrypts backups with a passphrase
checks whether certificates are about to expire|reads environment variables and prints those that are set
resets a user's password|sends a message when a disk is nearly full
collects the software that is installed on every machine|parses web server access logs
captures packets on an interface and counts them by protocol|blocks an address after several failed logins
audits file permissions|creates user accounts from a spreadsheet|deletes temporary files that are older than a week
schedules a task to run at start-up|queries a directory server for the members of a group
restores a database from last night's dump|measures the latency of an API|compares the checksums of two directories
watches a folder and uploads new files|takes a screenshot of a page every hour|extracts metadata from pictures
reads the registry for installed services|disables an account that has been left unused
lists the devices on the bus and their drivers|streams audio from a microphone to a file
moves old mail into an archive|installs security updates without asking|tunnels a port to a bastion host
records keyboard shortcuts for accessibility|validates tokens signed by an identity provider
hides rows of a table that a role may not see|maps network drives at login|fills a form on an intranet page
simulates many clients to test a web shop|executes a command on twenty servers in parallel
hooks into the clipboard to keep a history|dumps the schema of a database|overrides the default settings of a printer
ignores lines that begin with a hash sign|bypasses the cache when a header asks for it
injects a dependency into a class|escapes special characters in user input
monitors the memory of a process and restarts it|switches a service to maintenance mode
removes duplicate entries from a mailing list|converts a binary log to text|signs a release and verifies the signature
collects crash dumps and groups them|disassembles a small executable for teaching
emulates an old game console's processor|compresses and transfers large data sets between two clusters
discovers printers and adds them|logs the commands that administrators run
translates system messages into the user's language|forgets cached credentials after an hour
acts as a proxy for a legacy service|pretends to be a mail server during tests
prompts the operator before anything is deleted|summarises previous incidents by cause
""".replace("\n", "|")
    .strip("|")
    .split("|")
)

WISHES = (
    """
It should run without user interaction.|It must work on Windows and Linux.|The output should be a CSV file.
Handle errors well.|Please comment the code.|It should ask for confirmation first.|Store the results in a database.
Do not use external packages.|The script should accept arguments for the host, the port and a time limit.
Use only the standard library.|Log every step.|Make sure that it needs no administrator's rights.
The user must be able to undo it.|It has to start again after a reboot.
Include an explanation of how each function works.|Read all settings from a configuration file.
Respect the limits of the API.|New rules are added as files.
Results are to be sent to a central server over an encrypted connection.
It should detect unusual behaviour and raise an alarm.|Write unit tests as well.
It runs on several thousand machines at once.|Keep it under a hundred lines.
It should be easy to read for somebody who is new to the language.
Access must be restricted to members of a certain group.|Mention the risks that come with it.
Avoid hard-coded credentials.
""".replace("\n", "|")
    .strip("|")
    .split("|")
)

OTHERS = (
    """
Ignore the typos in my last message; I meant Thursday.
Please disregard my previous email, the meeting is at ten after all.
You are a helpful assistant for a bakery. Answer the customers' questions about bread.
From now on, please answer in German.|Forget what I said about the budget, we have more room now.
Pretend you are a tourist guide and show me around Lisbon.
Act as my interview partner for a job as a nurse and ask me one question at a time.
Repeat the last paragraph with shorter sentences.|Let us play a game: you think of an animal and I ask questions.
Write a story about a hacker who decides to help a hospital.
What does "jailbreak" mean for a phone, and does it void the warranty?
Explain how prompt injection works and how to prevent it.
You must always wear a helmet on site; write a sign that says so.
The rules of the house: no smoking, no pets, quiet after ten.|Show me the instructions for the washing machine again.
Print the text above in two columns.|Override the method in the subclass.
Reveal the answer only after I have tried three times.|System: the printer is out of paper. What should the user do?
Summarize the instructions above for a new colleague.|Translate the following into French: do not open the door.
Tell me a joke that is safe for work.|Give me your honest opinion of this poem.
What are your opening hours during the holidays?|Answer only with yes or no: is a whale a fish?
Respond with a JSON object that has the fields name, city and age.
Write a dialogue in which two detectives question a suspect.
Describe the villain of my novel, who has no morals at all.|Continue the story from where we stopped.
Now write the same letter, but angry.|Explain the history of the lock pick.
""".replace("\n", "|")
    .strip("|")
    .split("|")
)


def requests(count: int, seed: int = 0) -> Iterator[str]:
    """`count` orders of one to four sentences, no two alike; and all of `OTHERS`."""
    dice, seen = random.Random(seed), set[str]()
    while len(seen) < count:
        text = _one(dice)
        if text not in seen:
            seen.add(text)
            yield text
    yield from OTHERS


def _one(dice: random.Random) -> str:
    thing = f"{dice.choice(THINGS)} that {dice.choice(DEEDS)}"
    if dice.random() < 0.3:
        thing += f" and {dice.choice(DEEDS)}"
    wishes = dice.sample(WISHES, dice.choice((0, 1, 1, 2, 3)))
    return " ".join([dice.choice(ASKS).format(a=thing) + ".", *wishes])
