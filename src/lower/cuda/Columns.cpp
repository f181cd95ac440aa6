#include "StreamKernel.h"
#include "Walk.h"

namespace strobe::cuda {

using namespace Halide;
using namespace Halide::Internal;

namespace {

/** The loads in an Expr that name the stream once, as one whole index, and neither the
 * row nor an element, and the costly integer work of that kind: one value a streamed column. */
class FindColumnLoads : public IRVisitor {
    using IRVisitor::visit;
    const TileProgram &program;
    const Elements &elements;

    bool is_column_load(const Call *op) const {
        const std::string &stream = program.stream.name;
        int named = 0;
        for (const Expr &e : op->args) {
            const Variable *v = e.as<Variable>();
            if (v && v->name == stream) {
                named++;
            } else if (expr_uses_var(e, stream) || elements.dependence(e).differs()) {
                return false;
            }
        }
        const Dependence d = elements.dependence(op);
        const Type t = op->type;
        const bool word = t.is_float() ? t.bits() == 32 || t.bits() == 16 : t.is_int_or_uint();
        return named == 1 && word && !d.row && !d.fragment;
    }

    bool is_column_work(const Expr &e) const {
        const Dependence d = elements.dependence(e);
        return is_integer_work(e) && d.column && !d.row && !d.fragment && expr_uses_var(e, program.stream.name);
    }

    void visit(const Div *op) override {
        is_column_work(op) ? found.push_back(op) : IRVisitor::visit(op);
    }
    void visit(const Mod *op) override {
        is_column_work(op) ? found.push_back(op) : IRVisitor::visit(op);
    }
    void visit(const Call *op) override {
        const bool column = op->call_type == Call::Image ? is_column_load(op) : is_column_work(op);
        column ? found.push_back(op) : IRVisitor::visit(op);
    }

public:
    std::vector<Expr> found;
    FindColumnLoads(const TileProgram &program, const Elements &elements)
        : program(program), elements(elements) {
    }
};

}  // namespace

/** What the step reads a column at a time is staged with the tile. */
void StreamKernel::find_columns() {
    Code unused;
    const Elements elements(program, params, unused);
    for (const TileOp &op : pass.step) {
        if (!op.expr.defined() || op.kind == TileOp::Kind::Load) {
            continue;
        }
        FindColumnLoads finder(program, elements);
        op.expr.accept(&finder);
        for (const Expr &load : finder.found) {
            bool known = false;
            for (Column &c : columns) {
                if (equal(c.load, load)) {
                    known = true;
                    c.always |= op.when == TileOp::When::Always;
                }
            }
            if (!known) {
                columns.push_back({load, op.when == TileOp::When::Always});
            }
        }
    }
}

/** A value of 64 bits is in two arrays of words: its lower halves and its upper ones. */
static int words_of(const Column &column) {
    return word_type(column.load.type()).bits() / 32;
}

/** Of a tile's columns: one array of 32-bit words a load, or two. */
int StreamKernel::column_bytes() const {
    int words = 0;
    for (const Column &c : columns) {
        words += words_of(c);
    }
    return words * program.stream_tile * 4;
}

/** As many as there are notes: a tile's columns are read after its first stage has been
 * released, but before that of the next tile is. */
int StreamKernel::column_slots() const {
    return 2 * choices.stages;
}

Expr StreamKernel::column_address(const Expr &iteration) const {
    return shared(column_offset) + u32(iteration) % u32(column_slots()) * u32(column_bytes());
}

/** A column's value at the thread's first column of the tile plus `offset`; undefined
 * for what is not staged. */
Expr StreamKernel::staged_column(const Expr &load, int offset) const {
    int word = 0;  // the column's first
    for (const Column &c : columns) {
        if (equal(c.load, load)) {
            const auto read = [&](Type type, int n) {
                const Expr at = cast<uint32_t>(Code::get_int("columns")) + u32(((word + n) * program.stream_tile + offset) * 4);
                return device::call(type, "load_shared", {}, {at});
            };
            const Type type = word_type(load.type());
            if (type.bits() == 64) {
                return reinterpret(type, device::call(UInt(64), "join", {}, {read(Int(32), 0), read(Int(32), 1)}));
            }
            return type.is_float() ? read(type, 0) : cast(load.type(), read(type, 0));
        }
        word += words_of(c);
    }
    return Expr();
}

/** The whole warp copies a column's values of the tile at "stream_lo", to arrays of words from number `word` on. */
void StreamKernel::load_column(Code &code, Elements &elements, const Column &column, int word) {
    const Expr lane = thread_index() % 32;
    const Expr last = elements.row_value(program.stream.min + program.stream.extent, 0) - 1;
    const Type type = word_type(column.load.type());
    const Expr element = substitute(program.stream.name, Variable::make(Int(32), "$element"), column.load);
    const Expr load = element.type().is_float() ? element : cast(type, element);
    // All loads first: their latencies then overlap.
    const int steps = (program.stream_tile + 31) / 32;
    for (int step = 0; step < steps; step++) {
        code.set("element", max(min(Code::get_int("stream_lo") + step * 32 + lane, last), 0));
        code.set("column_value", step, elements.row_value(load, 0));
    }
    for (int step = 0; step < steps; step++) {
        const Expr value = device::get(type, "column_value", step);
        const auto store = [&] {
            for (int n = 0; n < words_of(column); n++) {
                const int at = ((word + n) * program.stream_tile + 32 * step) * 4;
                const Expr half = type.bits() == 64 ? cast<int32_t>(reinterpret(UInt(64), value) >> make_const(UInt(64), 32 * n)) :
                                                      reinterpret(Int(32), value);
                code.run("store_shared", {}, {column_address(Code::get_int("iteration")) + u32(at) + u32(lane * 4), half});
            }
        };
        if (32 * (step + 1) <= program.stream_tile) {
            store();
        } else {
            code.when(lane < program.stream_tile % 32, store);
        }
    }
}

/** The columns of the tile at "stream_lo", as far as they are needed. */
void StreamKernel::load_columns(Code &code, Elements &elements, const Expr &partial) {
    elements.bindings["$element"] = [] { return Code::get_int("element"); };
    int word = 0;
    for (const Column &c : columns) {
        if (c.always) {
            load_column(code, elements, c, word);
        } else {
            code.when(partial, [&] { load_column(code, elements, c, word); });
        }
        word += words_of(c);
    }
}

/** Adds the columns to what the first operand's barrier announces. Each lane speaks for its own. */
void StreamKernel::announce_columns(Code &code) {
    const Operand &first = *first_streamed();
    code.run("barrier_arrive", {}, {barrier(first.full) + u32(8 * stage_of(first, Code::get_int("iteration")))});
    code.set("iteration", Code::get_int("iteration") + 1);
}

/** The tiles of the block's range, in the order of their copies. */
void StreamKernel::load_range_columns(Code &code, Elements &elements) {
    const Operand &first = *first_streamed();
    const Expr iteration = Code::get_int("iteration");
    code.set("step", Expr(0));
    code.when(Code::get_int("tile_count") > 0, [&] {
        code.loop(
            "column_tiles",
            [&] {
                set_tile(code, elements, program,
                         Code::get_int("tile_first") + Code::get_int("tile_count") - 1 - Code::get_int("step"));
                code.run("barrier_wait", {},
                         {barrier(first.empty) + u32(8 * stage_of(first, iteration)), phase_of(first, iteration) ^ u32(1)});
                load_columns(code, elements, !elements.row_value(pass.mask.full, 0));
                announce_columns(code);
                code.set("step", Code::get_int("step") + 1);
            },
            [&] { return Code::get_int("step") < Code::get_int("tile_count"); });
    });
}

/** The tiles that the notes name, as soon as they are written: their stages are free then. */
void StreamKernel::load_judged_columns(Code &code, Elements &elements) {
    const Operand &first = *first_streamed();
    const Expr iteration = Code::get_int("iteration");
    const int partial_bits = (1 << note_bits()) - (1 << partial_bit(0));  // of all warpgroups
    code.loop(
        "column_notes",
        [&] {
            code.run("barrier_wait", {},
                     {barrier(note_barriers) + u32(8 * stage_of(first, iteration)), phase_of(first, iteration)});
            code.set("note", device::call(Int(32), "load_shared", {}, {note_address(iteration)}));
            code.when(Code::get_int("note") >= 0, [&] {
                set_tile(code, elements, program, Code::get_int("note") >> note_bits());
                load_columns(code, elements, (Code::get_int("note") & partial_bits) != 0);
            });
            announce_columns(code);
        },
        [&] { return (Code::get_int("note") & 1) == 0; });  // -1 is the last one, too
}

/** A warp that walks the blocks of rows as the consumers do, and the tiles as the copies do. */
Stmt StreamKernel::column_loader() {
    Code code;
    Elements elements(program, params, code);
    elements.last_row = [this] { return last_row(program.query_tile); };
    code.set("works", Expr(0));
    code.set("iteration", Expr(0));
    code.loop(
        "load_columns",
        [&] {
            take_slot(code);
            code.when(Code::get_int("work") >= 0, [&] {
                scans() ? load_judged_columns(code, elements) : load_range_columns(code, elements);
            });
            code.set("works", Code::get_int("works") + 1);
        },
        [&] { return Code::get_int("work") >= 0; });
    return elements.with_kernel_values(code.finish());
}

}  // namespace strobe::cuda
