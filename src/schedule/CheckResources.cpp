#include "CheckSchedule.h"

namespace strobe {

namespace {

std::string kib(int64_t bytes) {
    char text[32];
    snprintf(text, sizeof text, bytes % 1024 ? "%.1f KiB" : "%.0f KiB", (double)bytes / 1024);
    return text;
}

std::string shared_text(const std::vector<FootprintTerm> &terms) {
    std::string text;
    for (const FootprintTerm &t : terms) {
        text += (text.empty() ? "" : " + ") + t.what + " " + kib(t.amount);
    }
    return text;
}

bool shared_fits(const Footprint &f, const Capability &capability) {
    return !f.known || f.shared_bytes <= capability.shared_bytes_per_block;
}

bool registers_fit(const Footprint &f, const Choices &choices) {
    return !f.known || f.registers <= choices.consumer_registers;
}

/** The largest stream tile that both fit, all else equal; 0 if none does. */
int largest_stream_tile(const Workload &work, Choices choices, const Capability &capability) {
    for (choices.stream_tile = 256; choices.stream_tile > 0; choices.stream_tile -= 16) {
        const Footprint f = footprint_of(work, choices, capability);
        if (shared_fits(f, capability) && registers_fit(f, choices)) {
            break;
        }
    }
    return choices.stream_tile;
}

std::string legal_stream(const Workload &work, const Choices &choices, const Capability &capability) {
    const int largest = largest_stream_tile(work, choices, capability);
    return largest > 0 ? "a stream tile of at most " + std::to_string(largest) : "";
}

std::optional<Refusal> check_split(const Choices &choices, const Capability &capability, const Workload &work) {
    const int groups = choices.consumers + choices.producers;
    const int threads = 128 * groups;
    if (threads > capability.block_threads) {
        return Refusal{{"warps", "tile"},
                       std::to_string(groups) + " warpgroups are " + std::to_string(threads) +
                           " threads; a block has at most " + std::to_string(capability.block_threads),
                       "at most " + std::to_string(capability.block_threads / 128 - choices.producers) + " consumers"};
    }
    const int used =
        128 * (choices.consumers * choices.consumer_registers + choices.producers * choices.producer_registers);
    const int pool = launch_registers(threads, capability) * threads;
    if (used <= pool) {
        return std::nullopt;
    }
    const RegisterSplit split = largest_split(choices.consumers, choices.producers, capability, work);
    return Refusal{{"warps"},
                   "128 x (" + std::to_string(choices.consumers) + " x " + std::to_string(choices.consumer_registers) +
                       " + " + std::to_string(choices.producers) + " x " + std::to_string(choices.producer_registers) +
                       ") = " + std::to_string(used) + " registers; " + std::to_string(threads) + " threads get " +
                       std::to_string(pool) + " of the multiprocessor's " + std::to_string(capability.registers) +
                       " (an equal share each, in steps of 8)",
                   "registers=" + std::to_string(split.consumer) + ":" + std::to_string(split.producer)};
}

}  // namespace

std::optional<Refusal> check_resources(const Workload &work, const Choices &choices, const Capability &capability) {
    if (!capability.is_gpu()) {
        return std::nullopt;
    }
    if (auto refusal = check_split(choices, capability, work)) {
        return refusal;
    }
    const Footprint f = footprint_of(work, choices, capability);
    if (!shared_fits(f, capability)) {
        std::string legal;
        Choices fewer = choices;
        while (fewer.stages > 1 && !shared_fits(footprint_of(work, fewer, capability), capability)) {
            fewer.stages--;
        }
        if (fewer.stages < choices.stages && shared_fits(footprint_of(work, fewer, capability), capability)) {
            legal = "at most " + std::to_string(fewer.stages) + (fewer.stages == 1 ? " stage" : " stages");
        }
        const std::string smaller = legal_stream(work, choices, capability);
        legal += (legal.empty() || smaller.empty() ? "" : ", or ") + smaller;
        return Refusal{{"stage", "stream", "tile"},
                       "its tiles take " + kib(f.shared_bytes) + " of shared memory (" + shared_text(f.shared_terms) +
                           "); " + capability.name + " has " + kib(capability.shared_bytes_per_block) + " a block",
                       legal};
    }
    if (!registers_fit(f, choices)) {
        return Refusal{{"stream", "warps", "tile"},
                       "a consumer thread needs about " + std::to_string(f.registers) + " registers (" +
                           sum_text(f.register_terms) + ") and has " + std::to_string(choices.consumer_registers),
                       legal_stream(work, choices, capability)};
    }
    // ptxas places one instruction's results, and what else it needs meanwhile, in the registers that threads have at
    // launch. (Measured: it asks for 130 at 208 columns.)
    const int meanwhile = 26;
    const int at_launch = launch_registers(f.threads, capability);
    for (const Contraction &k : work.contractions) {
        const int64_t columns = k.scores ? choices.stream_tile : k.size.value_or(0);
        if (columns / 2 + meanwhile > at_launch) {
            return Refusal{{"stream", "warps", "tile"},
                           "a matrix instruction of " + std::to_string(columns) + " columns takes " +
                               std::to_string(columns / 2 + 2) + " registers at once, and the " +
                               std::to_string(f.threads) + " threads of a block have " + std::to_string(at_launch) +
                               " at launch",
                           legal_stream(work, choices, capability)};
        }
    }
    return std::nullopt;
}

}  // namespace strobe
