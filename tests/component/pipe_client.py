#!/usr/bin/python3
"""Opens a pipe with a client that is not sqlshim's, sends TDS packets, prints each answer.

usage: pipe_client.py CLIENT HOST PORT kerberos|ntlm USER PASSWORD DIALECT ENCRYPTION PIPE PACKETS FOLDER [BYTES]

DIALECT 2.0.2 … 3.1.1, ENCRYPTION off or required, PACKETS in hexadecimal digits, with commas between them; FOLDER is for
files of the client's own. Each packet is sent when the answer to the one before has come, and the answer's first
packet is printed as "answer HEX". With BYTES the last packet's answer is that many bytes, read by 64 KiB and not
kept: "moved BYTES in SECONDS, cpu SECONDS" is printed. CLIENT: `samba` is libsmbclient, of the same library as
smbclient (which cannot write to a pipe and read from it); HOST must resolve. `impacket` speaks up to 3.0.
"""
import ctypes
import os
import sys
import time

client, host, port, mechanism, user, password, dialect, encryption, pipe, packets, folder = sys.argv[1:12]
packets = [bytes.fromhex(packet) for packet in packets.split(",")]
bulk = int(sys.argv[12]) if len(sys.argv) > 12 else 0
HEADER = 8  # of a TDS packet; its length is in bytes 2 and 3


def answer(read):
    """`read` takes a number of bytes and returns no more than that."""
    got = b""
    size = HEADER
    while len(got) < size:
        some = read(size - len(got))
        if not some:
            sys.exit("the pipe ended after %d bytes" % len(got))
        got += some
        if len(got) >= HEADER:
            size = got[2] << 8 | got[3]
    print("answer", got.hex())


def drain(read):
    began, left = time.perf_counter(), bulk
    used = time.process_time()
    while left:
        some = read(min(left, 65536))
        if not some:
            sys.exit("the pipe ended %d bytes before its time" % left)
        left -= len(some)
    print("moved %d in %.3f, cpu %.3f" % (bulk, time.perf_counter() - began, time.process_time() - used))


def converse(write, read):
    for index, packet in enumerate(packets):
        write(packet)
        drain(read) if bulk and index + 1 == len(packets) else answer(read)


def by_samba():
    conf = os.path.join(folder, "client.conf")
    with open(conf, "w") as out:
        out.write("[global]\nworkgroup = CORP\nrealm = CORP.TEST\nnetbios name = CLIENT\n"
                  "name resolve order = host\nclient signing = required\n")
        for kind in ("cache directory", "lock directory", "state directory", "private dir"):
            out.write("%s = %s\n" % (kind, folder))
    library = ctypes.CDLL("libsmbclient.so.0", use_errno=True)
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int

    def call(name, result, *pairs):
        function = getattr(library, name)
        function.restype = result
        function.argtypes = [kind for kind, value in pairs]
        return function(*[value for kind, value in pairs])

    ask_type = ctypes.CFUNCTYPE(None, pointer, text, text, pointer, number, pointer, number, pointer, number)

    def ask(context, server, share, domain, domain_size, name, name_size, secret, secret_size):
        kerberos = mechanism == "kerberos"
        for place, value in ((domain, "CORP.TEST" if kerberos else "CORP"), (name, user),
                             (secret, "" if kerberos else password)):
            ctypes.memmove(place, value.encode() + b"\0", len(value) + 1)

    asked = ask_type(ask)
    context = call("smbc_new_context", pointer)
    here = (pointer, context)
    call("smbc_setPort", None, here, (ctypes.c_uint16, int(port)))
    call("smbc_setOptionUseKerberos", None, here, (number, mechanism == "kerberos"))
    call("smbc_setOptionFallbackAfterKerberos", None, here, (number, 0))
    call("smbc_setOptionNoAutoAnonymousLogin", None, here, (number, 1))
    call("smbc_setOptionSmbEncryptionLevel", None, here, (number, 2 if encryption == "required" else 0))
    call("smbc_setFunctionAuthDataWithContext", None, here, (ask_type, asked))
    if not call("smbc_init_context", pointer, here):
        sys.exit("libsmbclient does not start")
    call("smbc_setConfiguration", number, here, (text, conf.encode()))
    name = {"2.0.2": b"SMB2_02", "2.1": b"SMB2_10", "3.0": b"SMB3_00", "3.0.2": b"SMB3_02",
            "3.1.1": b"SMB3_11"}[dialect]
    call("smbc_setOptionProtocols", ctypes.c_bool, here, (text, name), (text, name))

    def function(getter, *kinds):
        return ctypes.CFUNCTYPE(*kinds, use_errno=True)(call(getter, pointer, here))

    size = ctypes.c_size_t
    url = "smb://%s/IPC$/%s" % (host, pipe.replace("\\", "/"))
    opened = function("smbc_getFunctionOpen", pointer, pointer, text, number, ctypes.c_uint)(
        context, url.encode(), os.O_RDWR, 0)
    if not opened:
        sys.exit("cannot open %s: %s" % (url, os.strerror(ctypes.get_errno())))
    move = (ctypes.c_ssize_t, pointer, pointer, pointer, size)
    room = ctypes.create_string_buffer(65536)

    take = function("smbc_getFunctionRead", *move)

    def read(count):
        got = take(context, opened, room, count)
        return ctypes.string_at(room, got) if got > 0 else b""

    def write(packet):
        if function("smbc_getFunctionWrite", *move)(context, opened, packet, len(packet)) != len(packet):
            sys.exit("cannot write: %s" % os.strerror(ctypes.get_errno()))

    converse(write, read)


def by_impacket():
    from impacket.smb3structs import SMB2_DIALECT_002, SMB2_DIALECT_21, SMB2_DIALECT_30
    from impacket.smbconnection import SMBConnection
    dialects = {"2.0.2": SMB2_DIALECT_002, "2.1": SMB2_DIALECT_21, "3.0": SMB2_DIALECT_30}
    connection = SMBConnection(host, host, sess_port=int(port), preferredDialect=dialects[dialect])
    connection.login(user, password, "CORP")
    tree = connection.connectTree("IPC$")
    opened = connection.openFile(tree, pipe)
    converse(lambda packet: connection.writeFile(tree, opened, packet),
             lambda count: connection.readFile(tree, opened, 0, count))
    connection.closeFile(tree, opened)
    connection.logoff()


by_samba() if client == "samba" else by_impacket()
