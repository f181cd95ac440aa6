#include "StreamKernel.h"
#include "Walk.h"

#include <algorithm>

namespace strobe::cuda {

using namespace Halide;
using namespace Halide::Internal;

/** Coordinate d of an operand's tile, and whether it moves with the stream. */
Expr StreamKernel::coordinate(const Operand &o, size_t d) const {
    Expr at = o.load.as<Call>()->args[d];
    for (const TileDim &dim : o.dims) {
        const bool tiled = dim.axis == program.query.name || dim.axis == program.stream.name;
        at = substitute(dim.axis, tiled ? Variable::make(Int(32), dim.axis + ".lo") : Expr(0), at);
    }
    return simplify(at);
}

bool StreamKernel::moves(const Expr &coordinate) const {
    return is_const(coordinate) || expr_uses_var(coordinate, program.stream.name + ".lo");
}

/** Registers "at_<operand>", element d: the coordinates that are the same for all tiles
 * of a block. A group's head takes two divisions, more than all else about a copy. */
void StreamKernel::set_coordinates(Code &code, Elements &elements) {
    for (const Operand &o : operands) {
        for (size_t n = 0; o.prepared && !o.in_block() && n < o.prepared->outer.size(); n++) {
            code.set("at_" + plain(o.name), static_cast<int>(n), elements.row_value(o.prepared->outer[n].index, 0));
        }
        for (size_t d = 0; o.streamed && !o.prepared && d < o.load.as<Call>()->args.size(); d++) {
            const Expr at = coordinate(o, d);
            if (!moves(at)) {
                code.set("at_" + plain(o.name), static_cast<int>(d), elements.row_value(at, 0));
            }
        }
    }
}

/** Copies one tile of an operand into its stage, panel by panel. */
void StreamKernel::produce_operand(Code &code, Elements &elements, const Operand &o, const Expr &iteration) {
    const Expr full = is_row_operand(o) ? rows_full() : barrier(o.full) + u32(8 * stage_of(o, iteration));
    if (o.prepared) {
        produce_prepared(code, elements, o, shared(o.offset) + u32(stage_of(o, iteration) * o.stage_bytes()), full);
        return;
    }
    if (o.page_rows > 0) {
        produce_pages(code, elements, o, shared(o.offset) + u32(stage_of(o, iteration) * o.stage_bytes()), full);
        return;
    }
    const size_t rank = o.load.as<Call>()->args.size();
    for (int p = 0; p < o.panels(); p++) {
        const Expr to = shared(o.offset + p * o.panel_bytes()) + u32(stage_of(o, iteration) * o.stage_bytes());
        std::vector<Expr> args = {to, params.tensor_map(p + 1 < o.panels() ? o.tensor_map : o.last_map), full};
        for (size_t d = 0; d < rank; d++) {
            const Expr at = coordinate(o, d);
            args.push_back(!o.streamed || moves(at) ? simplify(elements.row_value(at, 0) + (d == 0 ? 64 * p : 0))
                                                    : Code::get_int("at_" + plain(o.name), static_cast<int>(d)));
        }
        by_one(code, [&] { code.run("tensor_load", {std::to_string(rank)}, args); });
    }
}

/** Pages are looked up and copied by a lane each. */
bool StreamKernel::copies_by_warp() const {
    return std::any_of(operands.begin(), operands.end(), [](const Operand &o) { return o.page_rows > 0; });
}

/** Copies a tile page by page, a page a lane. Behind the stream's end there are zeros. */
void StreamKernel::produce_pages(Code &code, Elements &elements, const Operand &o, const Expr &to, const Expr &full) {
    const Call *call = o.load.as<Call>();
    const std::string &stream = program.stream.name;
    const Expr end = elements.row_value(program.stream.min + program.stream.extent, 0);
    const int rank = static_cast<int>(call->args.size()), copies = o.rows / o.page_rows;
    const Expr lane = thread_index() % 32, first = Code::get_int("page_row");
    const auto streamed = [&](int d) { return d != o.page_dim && expr_uses_var(call->args[d], stream); };
    elements.bindings["$row"] = [&] { return max(min(first, end - 1), 0); };
    code.when(lane < copies, [&] {
        code.set("page_row", Code::get_int("stream_lo") + lane * o.page_rows);
        for (int d = 1; d < rank; d++) {
            if (streamed(d)) {
                const Expr at = substitute(stream, Variable::make(Int(32), "$row"), call->args[d]);
                code.set("page", d, elements.row_value(at, 0));
            }
        }
        for (int p = 0; p < o.panels(); p++) {
            std::vector<Expr> args = {to + u32(Expr(p * o.panel_bytes())) + u32(lane * (o.page_rows * 128)),
                                      params.tensor_map(p + 1 < o.panels() ? o.tensor_map : o.last_map), full, Expr(64 * p)};
            for (int d = 1; d < rank; d++) {
                const Expr fixed = coordinate(o, d), beyond = params.extent(call->param.name(), d);
                // A tile of several pages begins with one; one of several tiles begins inside.
                const Expr inside = o.rows > o.page_rows ? Expr(0) : first % call->args[o.page_dim].as<Mod>()->b;
                args.push_back(d == o.page_dim   ? select(first < end, inside, beyond)
                               : streamed(d)     ? Code::get_int("page", d)
                               : is_const(fixed) ? fixed
                                                 : Code::get_int("at_" + plain(o.name), d));
            }
            code.run("tensor_load", {std::to_string(rank)}, args);
        }
    });
}

/** Copies a tile that was computed beforehand, as it will lie in shared memory. */
void StreamKernel::produce_prepared(Code &code, Elements &elements, const Operand &o, const Expr &to,
                                    const Expr &full) {
    const Expr first = elements.row_value(program.stream.min, 0);
    const Expr tile = o.streamed ? (Code::get_int("stream_lo") - first) / program.stream_tile
                                 : Code::get_int("query_lo") / program.query_tile;
    std::vector<Expr> outer;
    for (size_t n = 0; n < o.prepared->outer.size(); n++) {
        outer.push_back(Code::get_int("at_" + plain(o.name), static_cast<int>(n)));
    }
    const Expr number = prepared_tile_number(*o.prepared, program, arguments, package, params, tile, outer);
    const Expr bytes = cast<uint64_t>(number) * UIntImm::make(UInt(64), o.stage_bytes());
    by_one(code, [&] {
        code.run("bulk_load", {}, {to, params.workspace(o.prepared->workspace) + bytes, u32(Expr(o.stage_bytes())), full});
    });
}

/** Copies the streamed operands of the tile at register "stream_lo": those that scores need, those that they do not, or
 * all. */
void StreamKernel::produce_tile(Code &code, Elements &elements, bool early, bool late) {
    const Expr iteration = Code::get_int("iteration");
    for (const Operand &o : operands) {
        if (o.streamed && (o.early ? early : late)) {
            const Expr stage = u32(8 * stage_of(o, iteration));
            code.run("barrier_wait", {}, {barrier(o.empty) + stage, phase_of(o, iteration) ^ u32(1)});
            by_one(code, [&] {
                if (scans() && &o == first_streamed()) {
                    write_note(code);
                }
                code.run("barrier_expect", {}, {barrier(o.full) + stage, u32(o.copied_bytes())});
            });
            produce_operand(code, elements, o, iteration);
        }
    }
}

/** Takes the number of the next block of rows from the queue. Who draws the last one
 * leaves the counter as it was found. */
void StreamKernel::draw_ticket(Code &code) {
    code.set("ticket", cast<int32_t>(device::call(UInt(32), "atomic_add", {}, {params.workspace(counter), u32(1)})));
    code.when(Code::get_int("ticket") == total_work() - 1, [&] {
        code.run("store_global", {}, {params.workspace(counter), u32(0)});
        if (scans()) {
            clear_order(code, order, params);
        }
    });
}

/** The walk of one thread, or, where pages are copied, of one warp, whose first lane does all but that. Where tiles must
 * be judged at run time, another warp does that, ahead of it, and draws the tickets. */
Stmt StreamKernel::producer() {
    Code code;
    Elements elements(program, params, code);
    elements.last_row = [this] { return last_row(program.query_tile); };
    int row_bytes = 0;
    bool rows_prepared = false, waits = false;
    for (const Operand &o : operands) {
        rows_prepared |= o.prepared && !o.streamed;
        waits |= o.prepared && !o.in_block();
        row_bytes += is_row_operand(o) && !o.in_block() ? o.copied_bytes() : 0;
        if (!o.prepared) {
            for (int map : std::set<int>{o.tensor_map, o.last_map}) {
                code.run("tensor_prefetch", {}, {params.tensor_map(map)});
            }
        }
    }
    code.set("work", Variable::make(Int(32), "k" + gpu_block_name(0)));
    code.set("works", Expr(0));
    code.set("iteration", Expr(0));
    code.set("batches", Expr(0));
    if (waits) {  // for what other kernels compute
        code.run("grid_wait");
        code.run("fence_copies");
    }
    if (scans()) {
        receive_batch(code);
    }
    const auto slot_free = [&] { code.run("barrier_wait", {}, {rows_empty(), rows_phase() ^ u32(1)}); };
    code.loop(
        "produce",
        [&] {
            decode(code, elements);
            if (scans()) {  // the notes name the tiles
                code.set("tile_first", Expr(0));
                code.set("tile_count", Expr(0));
            } else {
                set_range(code, elements, program, pass.mask, "tile_first", "tile_count");
            }
            slot_free();
            const std::vector<std::string> registers = slot_registers();
            by_one(code, [&] {
                for (size_t n = 0; n < registers.size(); n++) {
                    code.run("store_shared", {}, {slot_address(n), Code::get_int(registers[n])});
                }
            });
            if (rows_prepared) {
                set_coordinates(code, elements);
            }
            by_one(code, [&] { code.run("barrier_expect", {}, {rows_full(), u32(row_bytes)}); });
            for (const Operand &o : operands) {
                if (is_row_operand(o) && !o.in_block()) {
                    produce_operand(code, elements, o, Code::get_int("works"));
                }
            }
            if (!rows_prepared) {
                set_coordinates(code, elements);
            }
            if (scans()) {
                produce_judged(code, elements);
                produce_row_elements(code, elements);
                receive_batch(code);
            } else {
                by_one(code, [&] { draw_ticket(code); });
                if (copies_by_warp()) {
                    code.run("sync_warp");
                    code.set("ticket", device::shuffle_from(Code::get_int("ticket"), 0));
                }
                produce_range(code, elements);
                produce_row_elements(code, elements);
                code.set("work", Code::get_int("ticket") + params.grid_size());
            }
            code.set("works", Code::get_int("works") + 1);
        },
        [&] { return scans() ? Code::get_int("work") >= 0 : Code::get_int("work") < total_work(); });
    slot_free();
    by_one(code, [&] {
        code.run("store_shared", {}, {slot_address(0), Expr(-1)});
        code.run("barrier_arrive", {}, {rows_full()});
    });
    Stmt body = IfThenElse::make(thread_index() < (copies_by_warp() ? 32 : 1), elements.with_kernel_values(code.finish()));
    if (scans()) {
        body = Block::make(body, IfThenElse::make(thread_index() / 32 == 1, scanner()));
    }
    if (!columns.empty()) {
        body = Block::make(body, IfThenElse::make(thread_index() / 32 == 2, column_loader()));
    }
    if (prefetches_rows()) {
        body = Block::make(body, IfThenElse::make(thread_index() / 32 == 3, row_prefetcher()));
    }
    return Block::make(device::run("registers_shrink", {std::to_string(choices.producer_registers)}), body);
}

/** What the sums need follows a tile behind, since its stages are free that much later; in the order of tiles it would
 * hold up the next scores. (With a single stage a tile that is skipped needs all its operands before the next one's.) */
int StreamKernel::tiles_behind() const {
    return choices.stages > 1 ? 1 : 0;
}

/** Copies the tiles of the block's range, the last first. */
void StreamKernel::produce_range(Code &code, Elements &elements) {
    const int behind = tiles_behind();
    const Expr step = Code::get_int("step"), count = Code::get_int("tile_count");
    code.set("step", Expr(0));
    code.when(count > 0, [&] {
        code.loop(
            "produce_tiles",
            [&] {
                set_tile(code, elements, program, Code::get_int("tile_first") + count - 1 - step);
                code.when(step < count, [&] { produce_tile(code, elements, true, behind == 0); });
                if (behind > 0) {
                    code.when(step > 0, [&] {
                        code.set("stream_lo", Code::get_int("stream_lo") + program.stream_tile);
                        code.set("iteration", Code::get_int("iteration") - 1);
                        produce_tile(code, elements, false, true);
                        code.set("iteration", Code::get_int("iteration") + 1);
                    });
                }
                code.set("iteration", Code::get_int("iteration") + 1);
                code.set("step", step + 1);
            },
            [&] { return step < count + behind; });
        code.set("iteration", Code::get_int("iteration") - behind);
    });
}

/** How many arrivals end a phase of barrier number n. Who reads or writes words of shared
 * memory by itself arrives by itself, too: no thread speaks for others. */
int StreamKernel::arrivals(int n) const {
    const int lanes = columns.empty() ? 0 : 32, threads = 128;  // of the warp that loads columns, of a warpgroup
    if (n >= row_stages && n < 2 * row_stages) {
        return choices.consumers * threads + lanes + (prefetches_rows() ? 32 : 0);
    }
    for (const Operand &o : operands) {
        if (o.elements && n >= o.empty && n < o.empty + o.stages) {
            return (o.streamed ? choices.consumers : choices.row_groups()) * threads;
        }
        if (o.streamed && n >= o.empty && n < o.empty + o.stages) {
            return o.users * choices.row_groups() * (o.by_threads ? threads : 1);
        }
        if (&o == first_streamed() && n >= o.full && n < o.full + o.stages) {
            return 1 + lanes;
        }
    }
    const bool of_batches = scans() && n >= batch_barriers && n < batch_barriers + scan_barriers();
    return of_batches ? batch_arrivals(n) : 1;
}

/** The matrix unit takes 16 columns of the scores' operands at a time. Where a row ends in the middle of them, no copy
 * writes the rest, which stays zero. */
void StreamKernel::clear_ends(Code &code) {
    bool any = false;
    for (const Operand &o : operands) {
        const bool contracted = std::any_of(all_scores.begin(), all_scores.end(), [&](const TileOp *op) {
            return op->a == o.name || op->b == o.name;
        });
        if (o.columns % 16 == 0 || o.prepared || !contracted) {
            continue;
        }
        any = true;
        const int rows = o.stages * o.rows, last = o.panels() - 1, chunk = o.columns % 64 / 8;
        for (int first = 0; first < rows; first += kernel.threads) {
            const Expr n = thread_index() + first, row = n % o.rows;
            const Expr at = n / o.rows * o.stage_bytes() + last * o.panel_bytes() + row * 128 + ((row % 8) ^ chunk) * 16;
            code.when(n < rows, [&] { code.run("clear_shared16", {}, {shared(o.offset) + u32(at)}); });
        }
    }
    if (any) {
        code.run("fence_shared");
    }
}

Stmt StreamKernel::build() {
    Code code;
    clear_ends(code);
    code.when(thread_index() == 0, [&] {
        for (int n = 0; n < barriers; n++) {
            code.run("barrier_init", {}, {barrier(n), u32(arrivals(n))});
        }
        code.run("barrier_init_fence");
    });
    code.run("sync_threads");
    code.emit(IfThenElse::make(thread_index() < 128, producer(), consumer()));
    Stmt body = LetStmt::make("shared_base", device::call(UInt(32), "shared_base"), code.finish());
    body = For::make("k" + gpu_thread_name(0), 0, kernel.threads, ForType::GPUThread, Partition::Never, DeviceAPI::CUDA,
                     body);
    return For::make("k" + gpu_block_name(0), 0, 1, ForType::GPUBlock, Partition::Never, DeviceAPI::CUDA, body);
}

}  // namespace strobe::cuda
