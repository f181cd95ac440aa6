#include "Footprint.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

namespace strobe {

namespace {

constexpr int warpgroup_threads = 128;
constexpr int warpgroup_rows = 64;
constexpr int barrier_bytes = 2048;     // barriers, notes between warps, alignment of the first tile
constexpr int panel_bytes = 128;        // a tile's rows are padded to panels of this width (tma's swizzle)
// What the mask reads of rows, and the verdicts. (Measured: with fewer to spare nothing spills, but short rows
// take 9 % longer.)
constexpr int mask_data_registers = 8;
// An input with an element for each row and key, read from its tile as it is used: ptxas reads ahead where tiles are
// wide. (Measured: 112 columns with 6 registers to spare spilled in fp16; 64 with none did not.)
int staged_registers(int columns) {
    return 4 + std::max(0, columns - 64) / 4;
}

constexpr int base_registers = 20;      // addresses, loop counters, descriptors
// A warpgroup that copies: the coordinates and addresses of five-dimensional tensor copies, a ring's
// stage and phase, the walk over blocks of rows. With 24, ptxas spills.
constexpr int least_producer_registers = 32, most_producer_registers = 40;
// One of whose warps also judges tiles, for each warpgroup's rows, or which looks up pages.
constexpr int busy_producer_registers = 56;

// Rows that a CPU computes at a time, with AVX-512; fewer with narrower vectors.
constexpr int cpu_strip_rows = 64;

int64_t round_down(int64_t x, int64_t step) {
    return x / step * step;
}

bool is_rounded(const Contraction &c, const Choices &choices) {
    for (const std::string &name : c.names) {
        auto chosen = choices.mma.find(name);
        if (chosen != choices.mma.end()) {
            return chosen->second == "bf16" || chosen->second == "fp16";
        }
    }
    return !c.operands.empty() && c.operands[0].type.bits() == 16;
}

int64_t columns_of(const Contraction &c, const Choices &choices) {
    return c.scores ? choices.stream_tile : c.size.value_or(0);
}

/** Registers of a consumer thread in one pass. */
std::vector<FootprintTerm> registers_of(const Workload &work, const PassWorkload &pass, const ChainWorkload &chain,
                                        const Choices &choices) {
    int64_t scores = 0, accumulators = 0;
    bool rounded = false;
    std::map<std::string, int64_t> rows;  // held, by input: four registers for 16 columns
    for (int i : chain.contractions) {
        const Contraction &c = work.contractions[i];
        for (const Operand &o : c.operands) {
            if (choices.held.count(c.func) && !o.by_stream) {
                rows[o.input] = std::max(rows[o.input], (o.width.value_or(0) + 15) / 16 * 4);
            }
        }
        (c.scores ? scores : accumulators) += columns_of(c, choices) / 2;
        rounded |= !c.scores && is_rounded(c, choices);
    }
    const int64_t staged =
        std::count_if(work.elements.begin(), work.elements.end(), [&](const ElementInput &e) {
            return e.by_stream && choices.element_stages_of(e.input) > 0;
        });
    const int64_t held = std::accumulate(rows.begin(), rows.end(), int64_t(0),
                                         [](int64_t sum, const auto &r) { return sum + r.second; });
    const int64_t weights = chain.weight_tiles * choices.stream_tile / (rounded ? 4 : 2);
    // Each thread holds two rows' state; values on their way through the special-function unit take
    // about one more register for every 16 columns.
    return {{"scores", scores},
            {"accumulators", accumulators},
            {"weights", weights},
            {"rows of operands", held},
            {"row state", 2 * (chain.pivots + chain.row_moments)},
            {"inputs of rows and keys", (pass.element_loads - staged) * choices.stream_tile / 2 + staged * staged_registers(choices.stream_tile)},
            {"mask data", pass.mask_reads_inputs ? mask_data_registers : 0},
            {"addresses and temporaries", base_registers + choices.stream_tile / 16}};
}

int64_t total(const std::vector<FootprintTerm> &terms) {
    int64_t sum = 0;
    for (const FootprintTerm &t : terms) {
        sum += t.amount;
    }
    return sum;
}

int64_t in_panels(int64_t bytes) {
    return (bytes + panel_bytes - 1) / panel_bytes * panel_bytes;
}

/** Operand tiles: those indexed by rows are loaded once a block, streamed ones are kept `stages`
 * times, and results are staged on their way out. */
std::vector<FootprintTerm> operand_tiles(const Workload &work, const Choices &choices, bool padded) {
    std::vector<FootprintTerm> terms;
    auto row_bytes = [&](const std::optional<int64_t> &width, Halide::Type type) {
        const int64_t bytes = width.value_or(0) * type.bytes();
        return padded ? in_panels(bytes) : bytes;
    };
    for (const Operand &o : work.operands()) {
        const int64_t bytes = row_bytes(o.width, o.type);
        if (o.by_stream) {
            terms.push_back({(choices.stages > 1 ? std::to_string(choices.stages) + " x " : "") + o.input,
                             choices.stages * choices.stream_tile * bytes});
        } else if (o.by_query) {
            terms.insert(terms.begin(), {o.input, choices.query_tile * bytes});
        }
    }
    std::set<std::string> replaced;  // results in whose buffers elements lie before
    for (const ElementInput &e : work.elements) {
        const int stages = choices.element_stages_of(e.input);
        const auto width = e.by_stream ? std::optional<int64_t>(choices.stream_tile) : e.width;
        const bool in_result = std::any_of(work.results.begin(), work.results.end(), [&](const ResultTile &r) {
            return !e.by_stream && stages == 1 && choices.chains == 1 && r.name == e.result &&
                   row_bytes(r.width, r.type) == row_bytes(width, Halide::UInt(16)) && replaced.insert(r.name).second;
        });
        if (stages > 0 && !in_result) {
            terms.push_back({(stages > 1 ? std::to_string(stages) + " x " : "") + e.input,
                             stages * choices.query_tile * row_bytes(width, Halide::UInt(16))});
        }
    }
    for (const ResultTile &r : work.results) {
        terms.push_back({r.name, choices.query_tile * row_bytes(r.width, r.type)});
    }
    return terms;
}

/** Of the rows that are copied: those that are computed by the block itself are not kept for two blocks. */
int64_t row_operand_bytes(const Workload &work, const Choices &choices) {
    int64_t bytes = 0;
    for (const Operand &o : work.operands()) {
        bytes += o.by_stream || (o.computed && choices.chains == 1) ? 0 : choices.query_tile * in_panels(o.width.value_or(0) * o.type.bytes());
    }
    return bytes;
}

bool sizes_known(const Workload &work) {
    return std::all_of(work.contractions.begin(), work.contractions.end(), [](const Contraction &c) {
        return c.size &&
               std::all_of(c.operands.begin(), c.operands.end(), [](const Operand &o) { return o.width.has_value(); });
    });
}

/** Scores exist for one strip of rows, accumulators for all. */
void add_cpu_tiles(const Workload &work, const Choices &choices, Footprint &f) {
    for (const Contraction &c : work.contractions) {
        const int64_t rows = c.scores ? std::min(choices.query_tile, cpu_strip_rows) : choices.query_tile;
        const int64_t bytes = rows * columns_of(c, choices) * 4;
        f.shared_terms.push_back({c.func, bytes});
    }
}

/** Some streamed operand's rows lie in pages, which the copying thread looks up several at a time. */
bool looks_up_pages(const Workload &work) {
    const std::vector<Operand> operands = work.operands();
    return std::any_of(operands.begin(), operands.end(), [](const Operand &o) {
        const Halide::Internal::Call *load = o.by_stream && !o.computed ? o.load.as<Halide::Internal::Call>() : nullptr;
        return load && std::any_of(load->args.begin(), load->args.end(), [](const Halide::Expr &index) {
                   return index.as<Halide::Internal::Mod>() != nullptr;
               });
    });
}

}  // namespace

Footprint footprint_of(const Workload &work, const Choices &choices, const Capability &capability) {
    Footprint f;
    f.known = sizes_known(work);
    f.threads = warpgroup_threads * (choices.consumers + choices.producers);
    f.shared_terms = operand_tiles(work, choices, capability.bulk_copies);
    if (!capability.is_gpu()) {
        f.threads = 1;
        add_cpu_tiles(work, choices, f);
        f.shared_bytes = total(f.shared_terms);
        return f;
    }
    f.shared_terms.push_back({"barriers", barrier_bytes});
    f.shared_bytes = total(f.shared_terms);
    f.rows_ahead = f.shared_bytes + row_operand_bytes(work, choices) <= capability.shared_bytes_per_block;
    for (const PassWorkload &pass : work.passes) {
        const std::vector<ChainWorkload> together = {pass.whole()};
        for (const ChainWorkload &chain : choices.chains > 1 ? pass.chains : together) {
            std::vector<FootprintTerm> terms = registers_of(work, pass, chain, choices);
            if (total(terms) > f.registers) {
                f.registers = (int)total(terms);
                f.register_terms = terms;
            }
        }
    }
    // A warpgroup with more than 64 rows of the tile would hold several fragments.
    const int rows = choices.row_groups() * warpgroup_rows;
    if (rows > 0 && choices.query_tile > rows) {
        f.registers = f.registers * (choices.query_tile / rows);
    }
    const int by_threads = capability.threads / std::max(1, f.threads);
    const int block_registers = launch_registers(f.threads, capability) * f.threads;
    const int by_registers = capability.registers / std::max(1, block_registers);
    const int by_shared = (int)(capability.shared_bytes / std::max<int64_t>(1, f.shared_bytes + 1024));
    f.blocks_per_multiprocessor = std::max(1, std::min({by_threads, by_registers, by_shared}));
    return f;
}

std::string sum_text(const std::vector<FootprintTerm> &terms, const std::string &unit) {
    std::string text;
    for (const FootprintTerm &t : terms) {
        if (t.amount > 0) {
            text += (text.empty() ? "" : " + ") + t.what + " " + std::to_string(t.amount) + unit;
        }
    }
    return text;
}

int launch_registers(int threads, const Capability &capability) {
    const int share = (int)round_down(capability.registers / std::max(1, threads), 8);
    return std::min(share, capability.registers_per_thread + 1);
}

RegisterSplit largest_split(int consumers, int producers, const Capability &capability, const Workload &work) {
    const int groups = consumers + producers;
    if (!capability.register_reallocation || producers == 0) {
        const int each = std::min(launch_registers(groups * warpgroup_threads, capability), 248);
        return {each, each};
    }
    const int pool = groups * std::min(launch_registers(groups * warpgroup_threads, capability), 256);
    RegisterSplit split;
    const bool busy = looks_up_pages(work) || std::any_of(work.passes.begin(), work.passes.end(), [](const PassWorkload &p) {
                          return p.judges_tiles;
                      });
    const int least = busy ? busy_producer_registers : least_producer_registers;
    const int shared = pool - least * producers;
    split.consumer = (int)std::min<int64_t>(240, round_down(shared / consumers, 8));
    const int rest = pool - split.consumer * consumers;
    const int most = busy ? busy_producer_registers : most_producer_registers;
    split.producer = (int)std::min<int64_t>(most, round_down(rest / producers, 8));
    return split;
}

}  // namespace strobe
