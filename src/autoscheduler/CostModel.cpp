#include "CostModel.h"

#include "ExchangeCost.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace strobe {

namespace {

// Fitted to the times of our own kernels on an H200 (benchmarks/results/h200.json): full, causal, prefix and
// window masks and ALiBi at head dimensions 64 and 128 and three lengths. All clocks are of the sustained rate.

/** Units that a block keeps busy at once finish after the p-norm of their times: p = 1 is one after the
 * other, a large p is perfect overlap. One warpgroup overlaps little by itself; a second runs its exponentials
 * under the first one's contractions. */
constexpr double overlap_alone = 2.6, overlap = 3.5;
/** Taking turns on the matrix unit keeps a third warpgroup ready for it at any time (two alternate by
 * themselves). Each turn costs a barrier's handover. */
constexpr double overlap_of_turns = 6, handover_clocks = 25;
/** With three stages a turn's sums may take until the end of the elementwise work, and the handover is hidden, unless much
 * of the work comes before the maxima. (Measured on an H100 at head dimension 64: 2 to 4 % of the whole.) */
constexpr double patient_handover_clocks = 8;
/** Barriers, the matrix unit's fill and drain, waits for the row maxima: once a tile. */
constexpr double step_clocks = 470;
/** Where the tiles that a warpgroup has to do with are only known at run time, turns are waited for in vain. */
constexpr double turns_in_vain = 1.1;
/** Loads of elements from global memory, where threads read them: clocks that nothing hides, instructions beside those
 * that count_ops finds. (Measured: 3,000 clocks for 128 x 128 elements.) */
constexpr double load_clocks = 0.18, load_issue = 1.5;
/** The chip's power is the limit where the matrix units are busy all the time: scores whose rows are not read from shared
 * memory again for each tile leave more of it, as if a step took so much less. Reading the rows costs so much a block.
 * (Measured on an H100 at head dimension 128: 1 to 3.5 % less time without a mask, nothing with a causal one, 2 to 10 %
 * more with a prefix or documents, and up to 3 % more where weights need no maximum. Tiles of elements make the matrix units
 * wait as well.) */
constexpr double held_step_clocks = 50, held_block_clocks = 250;
/** From the release of a stage to its next tile, under load; hidden behind the tiles that are in flight. */
constexpr double load_latency = 1800;
/** Per block: the first tile's scores and the last one's sums, which nothing overlaps, and the results. With
 * room for the next block's rows its loads, and what other warpgroups still have to do, hide most of it. */
constexpr double ahead_block_clocks = 2800, persistent_block_clocks = 7500, block_clocks = 8500;
/** Rows that a block computes before its first tile: what nothing hides, and the share of an element. */
constexpr double computed_rows_clocks = 1500, computed_element_clocks = 0.2;
/** A third warpgroup has more left to do meanwhile. */
constexpr double persistent_block_clocks_of_three = 4000;
/** Blocks of uneven length leave this share of an average one idle at the end. */
constexpr double uneven_tail = 0.55;
/** From the host's launch to the first block, for each kernel. */
constexpr double launch_ms = 0.004;
/** A warpgroup that others leave alone overlaps nothing, and waits for each result: so many times the sum of its
 * units' times, and so much a tile. Fitted to rows that see all keys beside others that see a window. */
constexpr double lone_share = 1.2, lone_step_clocks = 370;
/** Per row and pivot: the maximum across threads, the rescaling factor. */
constexpr double row_issue = 100;
/** Share of tiles in which a lazy maximum is raised all the same. */
constexpr double lazy_rescales = 0.1;
/** CPU: share of the peak that multiply-adds reach in registers; clocks to take an accumulator's vector from memory
 * and back, and for each strip of a block. Bytes a clock that tiles of the stream are copied at. */
constexpr double cpu_fma_share = 0.9, cpu_accumulator_clocks = 1.5, cpu_strip_clocks = 1000, cpu_block_clocks = 2000;
constexpr double cpu_copy_bytes_per_clk = 9;
/** Rows of a strip, whose scores should stay in the first-level cache, and of a contraction's register block. */
constexpr int cpu_strip_rows = 64, cpu_register_rows = 6;
/** The pool's threads each idle for half a block at the end: so many are assumed. */
constexpr double cpu_threads = 8;

double norm(double p, std::initializer_list<double> times) {
    double sum = 0;
    for (double t : times) {
        sum += std::pow(t, p);
    }
    return std::pow(sum, 1 / p);
}

int columns_of(const Contraction &k, const Choices &c) {
    return k.scores ? c.stream_tile : (int)k.size.value_or(0);
}

double depth_of(const Contraction &k, const Choices &c) {
    return k.scores ? (double)k.size.value_or(0) : c.stream_tile;
}

/** Bytes that a tile of the stream brings in. */
double stream_bytes(const Workload &work, const Choices &c) {
    double bytes = 0;
    for (const Operand &o : work.operands()) {
        if (o.by_stream) {
            bytes += (double)c.stream_tile * o.width.value_or(0) * o.type.bytes();
        }
    }
    return bytes;
}

/** Elements of 16 bits that come as tiles, of one row and column. */
double staged_elements(const Workload &work, const Choices &c) {
    return (double)std::count_if(work.elements.begin(), work.elements.end(), [&](const ElementInput &e) {
        return e.by_stream && c.element_stages_of(e.input) > 0;
    });
}

const char *bound_of(const TileCost &t, bool gpu) {
    const double most = std::max({t.tensor, t.special, t.issue, t.copies, t.loads});
    return most == t.loads  && gpu ? "loads of elements"
           : most == t.tensor    ? (gpu ? "tensor" : "multiply-adds")
           : most == t.special ? "special functions"
           : most == t.issue   ? "issue"
                               : "copies";
}

}  // namespace

CostModel::CostModel(const ReductionGraph &graph, const Plan &plan, const Capability &machine, const Shape &shape)
    : graph(graph), plan(plan), machine(machine), shape(shape), work(workload_of(graph, plan, shape.sizes)) {
    for (const Pass &pass : plan.passes) {
        ops.push_back(count_ops(graph, plan, pass));
        mask_ops.push_back(count_mask_ops(graph, plan, pass));
    }
}

const std::vector<TileVisits> &CostModel::visits_of(const Choices &c) const {
    std::vector<TileVisits> &found = visits[{c.query_tile, c.stream_tile, c.skip_dead, c.exchange}];
    if (found.empty()) {
        for (const Pass &pass : plan.passes) {
            const int group = machine.is_gpu() ? c.query_tile / std::max(1, c.row_groups()) : std::gcd(c.query_tile, cpu_strip_rows);
            MaskVerdict mask = pass.mask;
            if (c.exchange && !plan.second->whole) {  // from the block's own rows on
                const Expr first = Halide::Internal::Variable::make(Halide::Int(32), plan.roles.query + ".lo");
                mask.begin = first / c.query_tile * c.query_tile;
            }
            found.push_back(count_visits(graph, plan, mask, shape, c.query_tile, group, c.stream_tile, c.skip_dead));
            if (c.exchange && plan.second->whole) {
                TileVisits &v = found.back();
                v.mean = v.of_block = v.first = v.last = v.longest = v.partial = 0;
                std::fill(v.together.begin(), v.together.end(), 0);
            }
        }
    }
    return found;
}

/** A block's share of the sums ahead, and what its rows contract with them. On a CPU. */
double CostModel::exchange_clocks(const Choices &c) const {
    const ExchangeCost cost = exchange_cost(plan, shape, c.query_tile);
    const double lanes = std::min<double>(c.vector_lanes, machine.float_lanes()) / machine.float_lanes();
    // Each array is written, added up and read once a chunk, about as often as there are blocks of rows.
    const double arrays = 4 * cost.reading * sizeof(float) / cpu_copy_bytes_per_clk;
    return c.query_tile * (cost.sums + cost.reading) / (machine.fma_f32 * cpu_fma_share * lanes) + arrays + 2 * cpu_block_clocks;
}

void CostModel::add_contraction(const Contraction &k, const Choices &c, TileCost &cost) const {
    const double rows = c.query_tile, columns = columns_of(k, c), depth = depth_of(k, c);
    const MatrixUnit *unit = c.mma.count(k.func) ? machine.matrix_unit(c.instruction) : nullptr;
    if (!unit) {
        cost.issue += rows * columns * depth / machine.fma_f32 * 1.5;  // operands come from shared memory
        return;
    }
    // One instruction: 64 rows x columns x depth_bytes. Both operands of scores come from shared memory, unless a block
    // holds its rows.
    const double step = unit->depth_bytes / 2.0;
    const double math = unit->rows * columns * step / unit->fma_16bit;
    const bool held = c.held.count(k.func) > 0;
    const double shared_bytes = ((k.scores && !held ? unit->rows : 0) + columns) * unit->depth_bytes;
    cost.tensor +=
        rows / unit->rows * std::ceil(depth / step) * std::max(math, shared_bytes / unit->shared_bytes_per_clk);
}

TileCost CostModel::gpu_tile(size_t pass, const Choices &c, double partial) const {
    TileCost t;
    const PassWorkload &p = work.passes[pass];
    const double rows = c.query_tile, elements = rows * c.stream_tile;
    double accumulators = 0;
    for (int i : p.contractions) {
        add_contraction(work.contractions[i], c, t);
        accumulators += work.contractions[i].scores ? 0 : columns_of(work.contractions[i], c);
    }
    const double rescaled = p.running_pivots == 0 ? 0 : c.rescale_bits > 0 ? lazy_rescales : 1;
    t.special = ops[pass].special * elements / machine.special;
    t.step = step_clocks - (work.is_bound_by_power() && !c.held.empty() ? held_step_clocks : 0);
    t.handover = c.stages > 2 && p.running_pivots > 0 && ops[pass].special < 2 ? patient_handover_clocks : handover_clocks;
    t.issue +=
        (ops[pass].issue * elements + rows * (row_issue * p.running_pivots + rescaled * accumulators)) / machine.issue;
    t.partial_issue = mask_ops[pass].issue * elements / machine.issue;
    // A load takes a pass over eight rows' lines for 32 elements; of tiles two come in each register.
    const double staged = staged_elements(work, c), loads = p.element_loads - staged;
    t.issue += (loads * load_issue - staged) * elements / machine.issue;
    t.loads = loads * elements * load_clocks;
    t.copies = (stream_bytes(work, c) + 2 * staged * elements) / machine.l2_bytes_per_clk;

    t.arrival = std::max(t.copies, c.stages > 1 ? load_latency / (c.stages - 1) : 0);
    t.total = std::max(gpu_clocks(t, c, partial, c.consumers), t.arrival);
    return t;
}

/** A tile that \p groups of the block's warpgroups have a part in. */
double CostModel::gpu_clocks(const TileCost &t, const Choices &c, double partial, int groups) const {
    const bool turns = c.pingpong && c.consumers > 1;
    const double p = groups < 2 ? overlap_alone : turns && groups > 2 ? overlap_of_turns : overlap;
    const double share = (double)groups / std::max(1, c.consumers);
    const double code = c.specialize_full ? partial : 1;
    const double busy = share * (norm(p, {t.tensor, t.special, t.issue + code * t.partial_issue}) + t.loads) + t.step +
                        (turns ? t.handover * groups : 0);
    return c.stages == 1 ? busy + load_latency : busy;
}

/** All tiles of an average block. */
double CostModel::pass_clocks(const TileCost &t, const TileVisits &v, const Choices &c, const Footprint &f) const {
    if (!machine.is_gpu()) {
        return v.mean * t.total + v.of_block * t.arrival;
    }
    // Warpgroups whose tiles differ all work at the same time if the next block's rows fit, and the tiles from
    // the one that the first is at to the one that the last still needs. Else, and if they take turns, they wait
    // for each other.
    const bool turns = c.pingpong && c.consumers > 1;
    double clocks = 0;
    if (v.skew == 0 || (!turns && f.rows_ahead && c.stages >= v.skew + 1)) {
        clocks = v.mean * v.groups / c.row_groups() * gpu_clocks(t, c, v.partial, c.consumers);
    } else {
        for (int k = 1; k <= c.row_groups(); k++) {
            clocks += v.together[k] * gpu_clocks(t, c, v.partial, k * c.chains);
        }
    }
    return std::max(clocks * (turns && v.judged ? turns_in_vain : 1), v.of_block * t.arrival);
}

/** Tiles that are one warpgroup's alone, as those of rows that see far more keys than the others of their block. */
double CostModel::lone_clocks(const TileCost &t, const TileVisits &v, const Choices &c) const {
    const double units = t.tensor + t.special + t.issue + v.partial * t.partial_issue;
    return v.judged && v.longest > 2 * v.mean ? v.longest * (lone_share * units / std::max(1, c.consumers) + lone_step_clocks) : 0;
}

TileCost CostModel::cpu_tile(size_t pass, const Choices &c, double partial) const {
    TileCost t;
    const double elements = (double)c.query_tile * c.stream_tile, strips = std::ceil((double)c.query_tile / cpu_strip_rows);
    const double lanes = std::min<double>(c.vector_lanes, machine.float_lanes()), of_machine = lanes / machine.float_lanes();
    double converted = 0, rescaled = 0, rereads = 0, held = 0;
    for (int i : work.passes[pass].contractions) {
        const Contraction &k = work.contractions[i];
        const double results = c.query_tile * columns_of(k, c);
        t.tensor += results * depth_of(k, c) / (machine.fma_f32 * cpu_fma_share * of_machine) +
                    results / lanes * cpu_accumulator_clocks * (k.scores ? 1 : 2);
        rescaled += k.scores || work.passes[pass].running_pivots == 0 ? 0.0 : results;
        held += k.scores ? (double)cpu_strip_rows * c.stream_tile * 4 : 0;
        rereads += k.scores ? 1 : columns_of(k, c) / cpu_register_rows;
    }
    for (const Operand &o : work.operands()) {
        converted += o.by_stream && o.type.bits() < 32 ? (double)c.stream_tile * o.width.value_or(0) : 0;
    }
    t.special = ops[pass].special * elements / (machine.special * of_machine);
    t.issue = (ops[pass].issue * elements + 3 * rescaled) / (machine.issue * of_machine);
    t.partial_issue = mask_ops[pass].issue * elements / (machine.issue * of_machine);
    t.copies = ops[pass].bytes * elements / machine.l2_bytes_per_clk;
    // A strip's scores are read for each register block of the results.
    if (held > machine.l1_bytes) {
        t.copies += strips * held * rereads / (2 * machine.l2_bytes_per_clk);
    }
    // Once for all strips of a block: the stream's tiles, which come back from further away if they don't stay.
    const double footprint = (double)footprint_of(work, c, machine).shared_bytes;
    t.arrival = stream_bytes(work, c) / cpu_copy_bytes_per_clk + 4 * converted / (machine.issue * of_machine) +
                std::max(0.0, footprint - 0.75 * (double)machine.l2_bytes) / (machine.l2_bytes_per_clk / 4);
    const double code = c.specialize_full ? partial : 1;
    t.total = t.tensor + t.special + t.issue + code * t.partial_issue + t.copies + strips * cpu_strip_clocks;
    return t;
}

/** From blocks to the launch: how evenly they fill the machine, and the memory's share. */
void CostModel::add_launch(Estimate &e, const Choices &c) const {
    double batches = 1, longest = 0;
    for (const std::string &b : plan.roles.batch) {
        batches *= (double)shape.sizes.at(b);
    }
    const bool gpu = machine.is_gpu();
    const double persistent = e.footprint.rows_ahead ? ahead_block_clocks
                              : c.row_groups() > 2   ? persistent_block_clocks_of_three
                                                     : persistent_block_clocks;
    double fixed = (gpu ? (c.persistent ? persistent : block_clocks) : cpu_block_clocks) * plan.passes.size();
    fixed += c.held.empty() ? 0 : held_block_clocks;
    for (const ElementInput &x : work.elements) {
        const bool loaded = gpu && !x.by_stream && c.element_stages_of(x.input) == 0;
        fixed += loaded ? load_clocks * c.query_tile * (double)x.width.value_or(0) : 0;
    }
    fixed += c.exchange ? exchange_clocks(c) : 0;
    for (const Operand &o : work.operands()) {
        const bool computed = gpu && o.computed && !o.by_stream && c.chains == 1;
        fixed += computed ? computed_rows_clocks + computed_element_clocks * c.query_tile * (double)o.width.value_or(0) : 0;
    }
    for (size_t i = 0; i < e.passes.size(); i++) {
        const TileVisits &v = e.visits[i];
        const double clocks = pass_clocks(e.passes[i], v, c, e.footprint);
        e.block_clocks += clocks;
        longest += std::max(v.mean > 0 ? clocks * std::max(v.first, v.last) / v.mean : 0.0,
                            gpu ? lone_clocks(e.passes[i], v, c) : 0.0);
    }
    e.block_clocks += fixed;
    longest += fixed;
    const double blocks = batches * (double)e.visits[0].blocks_of_rows;
    const double slots = (double)machine.multiprocessors;
    const bool even = longest < 1.05 * e.block_clocks;
    const bool longest_first = c.query_descending == (e.visits[0].last > e.visits[0].first);
    // Equal blocks finish in waves, in which those at the end of the axis, with fewer rows, count for less.
    // Uneven ones leave part of an average block idle at the end if the longest went first, else the longest.
    const double total = (blocks + (gpu ? 0 : cpu_threads / 2)) * e.block_clocks / slots;
    const double filled = gpu ? e.visits[0].groups / c.row_groups() : 1;
    const double waves = std::ceil(blocks * filled / slots) * e.block_clocks / filled;
    e.clocks =
        even ? std::max(total, waves)
             : std::max(longest, total + (longest_first ? uneven_tail * e.block_clocks : longest) * (1 - 1 / slots));
    e.balance = total / e.clocks;
    double bytes = 0;
    for (const Operand &o : work.operands()) {
        const double length = (double)shape.sizes.at(o.by_stream ? plan.roles.stream : plan.roles.query);
        bytes += batches * length * o.width.value_or(0) * o.type.bytes();
    }
    const double memory_ms = bytes / machine.global_bytes_per_s * 1e3;
    const double compute_ms = e.clocks / (machine.sustained_ghz * 1e6);
    const bool summarised =
        std::any_of(plan.passes.begin(), plan.passes.end(), [](const Pass &p) { return !p.mask.summaries.empty(); });
    e.milliseconds = std::max(memory_ms, compute_ms) + (gpu ? launch_ms * (summarised ? 2 : 1) : 0);
    e.bound = memory_ms > compute_ms ? "memory" : e.bound;
}

Estimate CostModel::estimate(const Choices &c) const {
    Estimate e;
    e.visits = visits_of(c);
    e.footprint = footprint_of(work, c, machine);
    double longest = -1;
    for (size_t i = 0; i < plan.passes.size(); i++) {
        e.passes.push_back(machine.is_gpu() ? gpu_tile(i, c, e.visits[i].partial)
                                            : cpu_tile(i, c, e.visits[i].partial));
        if (e.passes[i].total * e.visits[i].mean > longest) {
            longest = e.passes[i].total * e.visits[i].mean;
            e.bound = bound_of(e.passes[i], machine.is_gpu());
        }
    }
    add_launch(e, c);
    return e;
}

}  // namespace strobe
