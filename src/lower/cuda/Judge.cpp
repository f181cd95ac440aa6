#include "Judge.h"

#include "Walk.h"

namespace strobe::cuda {

using namespace Halide;
using namespace Halide::Internal;

namespace {

/** Loads that are the same for all tiles of a row. */
class FindFixedLoads : public IRGraphVisitor {
    using IRGraphVisitor::visit;
    const TileProgram &program;
    const MaskVerdict &mask;

    bool is_fixed(const Expr &e) const {
        const std::string &stream = program.stream.name;
        return !expr_uses_var(e, stream + ".lo") && !expr_uses_var(e, stream + ".hi") &&
               std::none_of(mask.summaries.begin(), mask.summaries.end(), [&](const Summary &s) {
                   return expr_uses_var(e, s.name + ".min") || expr_uses_var(e, s.name + ".max");
               });
    }
    void visit(const Call *op) override {
        const bool known = std::any_of(found.begin(), found.end(), [&](const Expr &e) { return equal(e, op); });
        if (op->call_type != Call::Image || !is_fixed(op)) {
            IRGraphVisitor::visit(op);
        } else if (!known && found.size() < most) {
            found.push_back(op);
        }
    }

public:
    static const size_t most = 16;
    std::vector<Expr> found;
    FindFixedLoads(const TileProgram &program, const MaskVerdict &mask) : program(program), mask(mask) {
    }
};

/** Puts values in the place of equal Exprs. */
class ReplaceEqual : public IRMutator {
    using IRMutator::visit;
    const std::vector<Expr> &from;
    const std::vector<Expr> &to;

public:
    ReplaceEqual(const std::vector<Expr> &from, const std::vector<Expr> &to) : from(from), to(to) {
    }
    Expr mutate(const Expr &e) override {
        for (size_t n = 0; n < from.size(); n++) {
            if (equal(e, from[n])) {
                return to[n];
            }
        }
        return IRMutator::mutate(e);
    }
    using IRMutator::mutate;
};

Expr lane() {
    return thread_index() % 32;
}

/** Warps for the same rows, which take turns with the chunks: one where each of many heads has items of its own. */
int turns_of(const BlockOrder &order, int groups) {
    return order.axes.size() > 1 ? 1 : (8 + groups - 1) / groups;
}

}  // namespace

int judges_of(const BlockOrder &order, const TileProgram &program) {
    return program.query_tile / 64 * turns_of(order, program.query_tile / 64);
}

Judge::Judge(const TileProgram &program, const StreamPass &pass, const BlockOrder &order,
             const PackageArguments &arguments, const KernelPackage &package, KernelParameters &parameters, Code &code,
             Elements &elements)
    : program(program), mask(pass.mask), order(order), arguments(arguments), package(package), parameters(parameters),
      code(code), elements(elements), parts(mask_parts(pass, program.query_tile / 64)), groups(program.query_tile / 64),
      judges(judges_of(order, program)), exact(const_true()) {
}

/** Verdicts are on so many rows from "query_lo" on. */
void Judge::use_rows(int count) {
    const Expr last = extent_in(program.query, arguments, package, parameters) - 1;
    elements.last_row = [=] { return min(Code::get_int("query_lo") + (count - 1), last); };
}

/** The least and greatest of what the verdicts read, over the rows or over the lane's tile. */
void Judge::load_summaries(bool of_rows) {
    for (const Summary &summary : mask.summaries) {
        const std::string least = plain(summary.name) + "_least", greatest = plain(summary.name) + "_greatest";
        if ((summary.axis == program.query.name) != of_rows) {
            continue;
        }
        const Type type = summary_type(program, summary);
        if (of_rows) {
            reduce_over_rows(code, elements, program, summary, 64, elements.last_row(), least, greatest);
        } else {
            const Expr at = summary_address(
                program, summary, arguments, package, parameters,
                parameters.workspace(order.summaries.at(summary.name)), Code::get_int("tile"),
                [](const std::string &axis) { return Code::get_int("axis_" + plain(axis)); });
            code.set(least, device::call(type, "load_workspace", {}, {at}));
            code.set(greatest, device::call(type, "load_workspace", {}, {at + UIntImm::make(UInt(64), 4)}));
        }
        bind_summary(elements, program, summary, least, greatest);
        exact = exact && is_exact(summary.load.type(), device::get(type, least, 0), device::get(type, greatest, 0));
    }
}

/** What the verdicts load that is the same for all tiles is loaded before them. Rows beyond the end have nothing. */
void Judge::load_fixed() {
    FindFixedLoads find(program, mask);
    mask.dead.accept(&find);
    for (const MaskPart &part : parts) {
        part.full.accept(&find);
    }
    std::vector<Expr> values;
    for (const Expr &load : find.found) {
        const std::string name = "fixed_" + std::to_string(values.size());
        const Type type = load.type(), word = word_type(type);
        code.set(name, make_zero(word));
        code.when(Code::get_int("query_lo") <= elements.last_row(), [&] {
            const Expr value = elements.row_value(load, 0);
            code.set(name, type.is_float() ? value : type.is_bool() ? select(value, 1, 0) : cast(word, value));
        });
        elements.bindings["$" + name] = [=]() -> Expr {
            const Expr held = device::get(word, name, 0);
            return type.is_float() ? held : type.is_bool() ? held != 0 : cast(type, held);
        };
        values.push_back(Variable::make(type, "$" + name));
    }
    ReplaceEqual replace(find.found, values);
    mask.dead = replace.mutate(mask.dead);
    for (MaskPart &part : parts) {
        part.full = replace.mutate(part.full);
    }
}

/** Registers "word_0" to "word_<parts>": of the chunk's tiles for the rows at "query_lo". */
void Judge::judge() {
    const Expr tile = Code::get_int("tile"), first = Code::get_int("own_first");
    code.set("inside", select(tile >= first && tile < first + Code::get_int("own_count") &&
                                  Code::get_int("query_lo") <= elements.last_row(),
                              1, 0));
    for (size_t p = 0; p <= parts.size(); p++) {
        code.set("word_" + std::to_string(p), Expr(0));
    }
    code.when(device::ballot(Code::get_int("inside") != 0) != u32(0), [&] {
        // A lane without a tile looks at the last one.
        code.set("tile", min(tile, Code::get_int("tiles") - 1));
        load_summaries(false);
        set_tile(code, elements, program, Code::get_int("tile"));
        const auto vote = [&](size_t word, const Expr &condition) {
            code.set("word_" + std::to_string(word), cast<int32_t>(device::ballot(condition)));
        };
        code.set("exact", select(simplify(exact), 1, 0));
        const Expr known = is_const_one(simplify(exact)) ? const_true() : Code::get_int("exact") != 0;
        code.set("dead", select(known && elements.row_value(mask.dead, 0), 1, 0));
        vote(0, Code::get_int("inside") != 0 && Code::get_int("dead") == 0);
        for (size_t p = 0; p < parts.size(); p++) {
            code.set("full", select(known && elements.row_value(parts[p].full, 0), 1, 0));
            vote(p + 1, Code::get_int("full") != 0);
        }
    });
}

void Judge::store_words(const Expr &keys) {
    const Expr bit = (Code::get_int("word_0") >> u32(lane())) & 1;
    code.set("live_tiles", Code::get_int("live_tiles") + bit);
    code.when(Code::get_int("word_0") != 0, [&] {
        code.set("chunk_end", max(Code::get_int("chunk_end"), Code::get_int("chunk") + 1));
    });
    const int words = 1 + static_cast<int>(parts.size());
    code.when(lane() == 0, [&] {
        const Expr at =
            verdict_address(order, program, parameters, keys, Code::get_int("item"), Code::get_int("chunk"), words) +
            cast<uint64_t>(Code::get_int("group")) * UIntImm::make(UInt(64), 4 * words);
        for (int n = 0; n < words; n++) {
            code.run("store_global", {}, {at + UIntImm::make(UInt(64), 4 * n), Code::get_int("word_" + std::to_string(n))});
        }
    });
}

void Judge::run() {
    const Expr keys = elements.row_value(program.stream.extent, 0);
    use_rows(program.query_tile);
    set_range(code, elements, program, mask, "tile_first", "tile_count");
    use_rows(64);
    code.set("block_lo", Code::get_int("query_lo"));
    code.set("tiles", ceil_div(keys, program.stream_tile));
    code.set("chunk_first", Code::get_int("tile_first") / chunk_tiles);
    code.set("chunk_count",
             select(Code::get_int("tile_count") > 0,
                    ceil_div(Code::get_int("tile_first") + Code::get_int("tile_count"), chunk_tiles) -
                        Code::get_int("chunk_first"),
                    0));
    code.set("live_tiles", Expr(0));
    code.set("chunk_end", Code::get_int("chunk_first"));
    code.set("group", thread_index() / 32 % groups);
    code.set("query_lo", Code::get_int("block_lo") + Code::get_int("group") * 64);
    set_range(code, elements, program, mask, "own_first", "own_count");
    code.set("chunk", Code::get_int("chunk_first") + thread_index() / 32 / groups);
    const auto more = [&] {
        return Code::get_int("chunk") < Code::get_int("chunk_first") + Code::get_int("chunk_count");
    };
    code.when(more(), [&] {
        load_summaries(true);
        load_fixed();
        code.loop(
            "judge",
            [&] {
                code.set("tile", Code::get_int("chunk") * chunk_tiles + lane());
                judge();
                store_words(keys);
                code.set("chunk", Code::get_int("chunk") + judges / groups);
            },
            more);
    });
    add_up();
}

/** Of all threads, in the first: "live_tiles", and "chunk_count", up to the last chunk with a live tile. */
void Judge::add_up() {
    const Expr live = Code::get_int("live_tiles"), end = Code::get_int("chunk_end");
    const Expr base = Variable::make(UInt(32), "shared_base");
    const auto found = [&](int warp, int word) {
        return device::call(Int(32), "load_shared", {}, {base + u32(8 * warp + 4 * word)});
    };
    for (int mask_bit = 16; mask_bit > 0; mask_bit /= 2) {
        code.set("live_tiles", live + device::shuffle_xor(live, mask_bit));
    }
    code.when(lane() == 0, [&] {
        code.run("store_shared", {}, {base + u32(thread_index() / 32 * 8), live});
        code.run("store_shared", {}, {base + u32(thread_index() / 32 * 8 + 4), end});
    });
    code.run("sync_threads");
    code.when(thread_index() == 0, [&] {
        for (int warp = 1; warp < judges; warp++) {
            code.set("live_tiles", live + found(warp, 0));
            code.set("chunk_end", max(end, found(warp, 1)));
        }
        code.set("chunk_count", end - Code::get_int("chunk_first"));
    });
}

}  // namespace strobe::cuda
