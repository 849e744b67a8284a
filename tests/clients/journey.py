"""What users do in a day, with all four clients, against the cloud that `clouds.yaml` calls by OS_CLOUD.

usage: journey.py FOLDER

The commands run in this process: starting an interpreter for each of them would take most of the time. FOLDER has
room for small files. Ends with 1 and says where when something is not as it must be; leaves nothing behind.
"""

import contextlib
import io
import json
import logging
import os
import sys
import time

import cinderclient.shell
import glanceclient.shell
import openstack
import openstackclient.shell

PATIENCE = 180


def run(name, main):
    """What a command prints; it must succeed."""
    out, err = io.StringIO(), io.StringIO()
    out.buffer = io.BytesIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main()
        except SystemExit as end:
            status = end.code
    if status:
        sys.exit(f"{name}\n{out.getvalue()}\n{err.getvalue()}")
    return out.getvalue()


def quiet(*arguments):
    return run(arguments, lambda: openstackclient.shell.main(list(arguments)))


def shown(*arguments):
    return json.loads(quiet(*arguments, "-f", "json"))


def listed(*arguments, column="Name"):
    return sorted(row[column] for row in shown(*arguments))


def glance(*arguments):
    main = glanceclient.shell.OpenStackImagesShell().main
    return run(("glance", *arguments), lambda: main([*in_words(), *arguments]))


def cinder(*arguments):
    main = cinderclient.shell.OpenStackCinderShell().main
    version = ("--os-volume-api-version", "3.71")
    return run(("cinder", *arguments), lambda: main([*in_words(), *version, *arguments]))


def in_words():
    """glance and cinder do not read `clouds.yaml`."""
    auth = CLOUD.config.get_auth_args()
    names = ("auth_url", "username", "password", "project_name", "user_domain_name", "project_domain_name")
    return [f"--os-{name.replace('_', '-')}={auth[name]}" for name in names if name in auth]


def is_so(truth, *shown):
    if not truth:
        sys.exit(f"not as it must be: {shown}")


def settled(what, find, wanted):
    end = time.monotonic() + PATIENCE
    while (now := find()) != wanted:
        is_so(time.monotonic() < end and now != "error", what, now, wanted)
        time.sleep(0.1)


def becomes(kind, name, wanted="available"):
    settled(name, lambda: shown(*kind, "show", name)["status"], wanted)


def is_gone(kind, *names):
    """Deleted things are in lists until they are really gone."""
    settled(names, lambda: [name for name in listed(*kind, "list") if name in names], [])


def images(folder):
    disk = os.path.join(folder, "disk.img")
    with open(disk, "wb") as file:
        file.write(os.urandom(3 << 20))
    create = ("image", "create", "--disk-format", "raw", "--file", disk, "--property", "os_type=linux")
    quiet(*create, "--tag", "spring", "--min-disk", "1", "greeting")
    is_so(listed("image", "list", "--status", "active", "--tag", "spring") == ["greeting"], "image list")
    quiet("image", "set", "--property", "hw_disk_bus=scsi", "--name", "hello", "greeting")
    image = shown("image", "show", "hello")
    is_so(image["properties"]["hw_disk_bus"] == "scsi" and image["size"] == 3 << 20, image)
    saved = os.path.join(folder, "saved.img")
    quiet("image", "save", "--file", saved, "hello")
    with open(disk, "rb") as one, open(saved, "rb") as other:
        is_so(one.read() == other.read(), "the image that was saved")
    quiet("image", "unset", "--property", "hw_disk_bus", "--tag", "spring", "hello")
    is_so("hello" in glance("image-list"), "glance image-list")
    is_so("linux" in glance("image-show", image["id"]), "glance image-show")
    glance("image-download", "--file", saved, image["id"])
    quiet("image", "set", "--protected", "hello")
    is_so(CLOUD.image.find_image("hello").is_protected, "protected")
    quiet("image", "set", "--unprotected", "hello")
    return image["id"]


def volumes():
    quiet("volume", "create", "--size", "1", "--property", "k=v", "--description", "of nothing", "empty")
    quiet("volume", "create", "--size", "1", "--image", "hello", "system")
    for name in ("empty", "system"):
        becomes(("volume",), name)
    is_so(str(shown("volume", "show", "system")["bootable"]).lower() == "true", "bootable")
    quiet("volume", "snapshot", "create", "--volume", "system", "before")
    becomes(("volume", "snapshot"), "before")
    quiet("volume", "create", "--snapshot", "before", "again")
    quiet("volume", "create", "--source", "empty", "--size", "2", "copy")
    for name in ("again", "copy"):
        becomes(("volume",), name)
    quiet("volume", "set", "--size", "2", "--name", "first", "--property", "k2=v2", "empty")
    becomes(("volume",), "first")
    settled("size", lambda: shown("volume", "show", "first")["size"], 2)
    quiet("volume", "unset", "--property", "k", "first")
    is_so(shown("volume", "show", "first")["properties"] == {"k2": "v2"}, "properties")
    is_so(listed("volume", "list") == ["again", "copy", "first", "system"], "volume list")
    is_so(listed("volume", "list", "--name", "copy") == ["copy"], "volume list --name")
    is_so(listed("volume", "list", "--status", "error") == [], "volume list --status")
    is_so(len(list(CLOUD.block_storage.volumes(limit=1))) == 4, "pages of one volume")
    is_so("system" in cinder("list"), "cinder list")
    is_so("before" in cinder("snapshot-list"), "cinder snapshot-list")
    cinder("rename", "copy", "clone")
    quiet("volume", "snapshot", "set", "--name", "earlier", "--property", "a=b", "before")
    is_so(shown("volume", "snapshot", "show", "earlier")["properties"] == {"a": "b"}, "snapshot properties")


def quotas():
    project = CLOUD.current_project_id
    quiet("quota", "set", "--volumes", "21", "--gigabytes", "210", project)
    found = {row["Resource"]: row["Limit"] for row in shown("quota", "show", "--volume", project)}
    is_so((found["volumes"], found["gigabytes"]) == (21, 210), found)
    limits = {row["Name"]: row["Value"] for row in shown("limits", "show", "--absolute")}
    is_so((limits["max_total_volumes"], limits["total_volumes_used"]) == (21, 4), limits)
    quiet("quota", "delete", "--volume", project)


def the_end(image):
    quiet("volume", "delete", "clone", "first", "again")
    quiet("volume", "delete", "--purge", "system")
    is_gone(("volume",), "clone", "first", "again", "system")
    is_so(listed("volume", "snapshot", "list") == [], "snapshots")
    quiet("image", "delete", image)
    is_so(listed("image", "list") == [], "images")


# What the commands log, at the most talkative.
logging.disable(logging.INFO)
CLOUD = openstack.connect()
os.environ["OS_REGION_NAME"] = CLOUD.config.region_name

if __name__ == "__main__":
    image = images(sys.argv[1])
    volumes()
    quotas()
    the_end(image)
