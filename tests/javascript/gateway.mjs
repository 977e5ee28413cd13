// Uses the gateway with ethers over HTTP and WebSocket: reads, sends a signed transaction, waits for its receipt,
// and sees the block arrive by subscription. Arguments: RPC URL, WebSocket URL. Prints one JSON document.
import { JsonRpcProvider, Wallet, WebSocketProvider } from "ethers";

const [rpc, ws] = process.argv.slice(2);
const http = new JsonRpcProvider(rpc, undefined, { pollingInterval: 200 });
const socket = new WebSocketProvider(ws);
try {
  const network = await http.getNetwork();
  const seen = new Promise((resolve) => socket.on("block", resolve));
  await socket.getBlockNumber();
  const wallet = Wallet.createRandom().connect(http);
  const transaction = await wallet.sendTransaction({
    to: wallet.address,
    value: 0n,
    gasLimit: 21000n,
    gasPrice: 0n,
    type: 0,
  });
  const receipt = await transaction.wait();
  const block = await seen;
  console.log(
    JSON.stringify({
      chainId: Number(network.chainId),
      status: receipt.status,
      minedIn: receipt.blockNumber,
      subscribed: block,
    }),
  );
} finally {
  http.destroy();
  await socket.destroy();
}
