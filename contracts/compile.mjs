// Compiles Anchor.sol into src/muniment/proof/anchor_contract.json.
//   node compile.mjs            write the artifact
//   node compile.mjs --check    compare it with a fresh compilation; exit 1 when they differ
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import solc from "solc";

const SOURCE = "Anchor.sol";
const CONTRACT = "Anchor";
// Berlin: GoQuorum 22.7.4 knows no later rules. No metadata: the bytes depend on nothing but source and settings.
const SETTINGS = {
  evmVersion: "berlin",
  optimizer: { enabled: true, runs: 1000000 },
  metadata: { bytecodeHash: "none", appendCBOR: false },
};
const ARTIFACT = fileURLToPath(new URL("../src/muniment/proof/anchor_contract.json", import.meta.url));

function compile() {
  const content = readFileSync(new URL(SOURCE, import.meta.url), "utf8");
  const selected = ["abi", "evm.deployedBytecode.object", "evm.methodIdentifiers", "storageLayout"];
  const input = {
    language: "Solidity",
    sources: { [SOURCE]: { content } },
    settings: { ...SETTINGS, outputSelection: { [SOURCE]: { [CONTRACT]: selected } } },
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input)));
  const complaints = output.errors ?? [];
  if (complaints.length > 0) {
    throw new Error(complaints.map((complaint) => complaint.formattedMessage).join("\n"));
  }
  const contract = output.contracts[SOURCE][CONTRACT];
  return {
    compiler: solc.version(),
    settings: SETTINGS,
    abi: contract.abi,
    selectors: contract.evm.methodIdentifiers,
    storage: contract.storageLayout.storage.map(({ label, slot, offset, type }) => ({
      label,
      slot: Number(slot),
      offset,
      bytes: Number(contract.storageLayout.types[type].numberOfBytes),
    })),
    runtime: `0x${contract.evm.deployedBytecode.object}`,
  };
}

function main(argument) {
  const fresh = `${JSON.stringify(compile(), null, 2)}\n`;
  if (argument === "--check") {
    if (readFileSync(ARTIFACT, "utf8") !== fresh) {
      console.error(`${ARTIFACT} is not what ${SOURCE} compiles to: run node contracts/compile.mjs and look at the difference`);
      return 1;
    }
    return 0;
  }
  writeFileSync(ARTIFACT, fresh);
  return 0;
}

process.exitCode = main(process.argv[2]);
