#include "StreamKernel.h"

#include "support/Error.h"

#include <algorithm>
#include <memory>

namespace strobe::cuda {

using namespace Halide;
using namespace Halide::Internal;

namespace {

/** Words of a thread in a panel of 64 rows, and their bytes in a warpgroup. */
const int panel_words = 16, word_bytes = 512;

/** Named barriers of the warpgroups of the same rows: the buffer is free, it is written. */
enum class Signal { Free, Written };

Expr named_barrier(Signal signal, const Expr &row_group) {
    return u32(row_group * 2 + (signal == Signal::Free ? 12 : 13));
}

}  // namespace

void StreamKernel::sort_chains() {
    all_scores = scores;
    all_sums = sums;
    chains = chains_of(program, pass);
    if (choices.chains == 1) {
        chains.resize(1);
        return;
    }
    if (static_cast<int>(chains.size()) != choices.chains || choices.chains > 2 || choices.row_groups() > 2) {
        refuse(std::to_string(choices.chains) + " chains by warpgroups of their own, " +
               std::to_string(choices.consumers) + " in all: a step of it has " + std::to_string(chains.size()) +
               ", and two for at most two times 64 rows is what there is code for");
    }
    std::map<std::string, int> users;
    for (int c = 0; c < choices.chains; c++) {
        use_chain(c);
        for (const auto *contractions : {&scores, &sums}) {
            for (const Operand *o : streamed_of(*contractions)) {
                users[o->name]++;
            }
        }
    }
    for (Operand &o : operands) {
        o.users = o.streamed ? users[o.name] : 1;
    }
    use_chain(0);
}

void StreamKernel::use_chain(int number) {
    chain = number;
    scores.clear();
    sums.clear();
    for (const TileOp *op : all_scores) {
        if (is_own(*op)) {
            scores.push_back(op);
        }
    }
    for (const TileOp *op : all_sums) {
        if (is_own(*op)) {
            sums.push_back(op);
        }
    }
}

bool StreamKernel::is_own(const TileOp &op) const {
    return chains.size() == 1 || chains[chain].count(op.dst) > 0;
}

/** Which 64 rows of the block are the warpgroup's. */
Expr StreamKernel::row_group() const {
    return choices.row_groups() == 1 ? Expr(0) : choices.chains == 1 ? warpgroup() : warpgroup() / choices.chains;
}

/** The streamed operands of these contractions. What says which tile it is, and brings
 * a tile's columns, comes with the first of all: every chain waits for that with its scores. */
std::vector<const Operand *> StreamKernel::streamed_of(const std::vector<const TileOp *> &contractions) const {
    std::vector<const Operand *> found;
    const bool brings_more = scans() || !columns.empty();
    if (chains.size() > 1 && brings_more && &contractions == &scores) {
        found.push_back(first_streamed());
    }
    for (const TileOp *op : contractions) {
        const Operand &b = operand(op->b);
        if (b.streamed && std::find(found.begin(), found.end(), &b) == found.end()) {
            found.push_back(&b);
        }
    }
    return found;
}

/** How many words a thread can pass on at a time. */
int StreamKernel::exchange_words() const {
    return panel_words * (staged.empty() ? 1 : staged[0].panels());
}

/** What the others' chains found passes through the buffer of the results, in pieces
 * that fit it: the rows' values first, then fragments, in the order the epilogue reads them. */
int StreamKernel::lay_out_exchange(int offset) {
    if (chains.size() == 1) {
        return offset;
    }
    exchanged.clear();
    int piece = 0, word = 0;
    const auto add = [&](const std::string &value, int first, int count) {
        if (word + count > exchange_words()) {
            piece++;
            word = 0;
        }
        for (int n = 0; n < count; n++) {
            exchanged.push_back({value, first + n, piece, word++});
        }
    };
    const auto each_foreign = [&](const TileOp &op, size_t rank, const std::function<void(const TileValue &)> &f) {
        for (const TileValue &v : program.values) {
            for (size_t c = 1; c < chains.size(); c++) {
                if (v.dims.size() == rank && chains[c].count(v.name) && op.expr.defined() &&
                    expr_uses_var(op.expr, v.name)) {
                    f(v);
                }
            }
        }
    };
    std::set<std::string> rows;
    for (const TileOp &op : pass.epilogue) {
        each_foreign(op, 1, [&](const TileValue &v) {
            if (rows.insert(v.name).second) {
                add(v.name, 0, 2);
            }
        });
    }
    for (const TileOp &op : pass.epilogue) {
        int groups = 0, fragments = 0;
        each_foreign(op, 2, [&](const TileValue &v) {
            groups = (v.dims[1].size + 7) / 8;
            fragments++;
        });
        for (int g = 0; g < groups; g++) {
            if (word + 4 * fragments > exchange_words()) {
                piece++;
                word = 0;
            }
            each_foreign(op, 2, [&](const TileValue &v) { add(v.name, 4 * g, 4); });
        }
    }
    if (!staged.empty()) {
        exchange_offset = staged[0].offset;
        return offset;
    }
    exchange_offset = offset;
    return offset + program.query_tile * 128;
}

/** Word number `word` of the own thread. */
Expr StreamKernel::exchange_address(int word) const {
    const int panel = word / panel_words * program.query_tile * 128;
    return shared(exchange_offset + panel + word % panel_words * word_bytes) +
           u32(row_group() * (panel_words * word_bytes) + thread_index() % 128 * 4);
}

/** From the own chain's registers, as soon as there is room for a piece. */
void StreamKernel::send_values(Code &code) {
    int piece = -1;
    const Expr threads = u32(128 * choices.chains);
    const auto close = [&] {
        if (piece >= 0) {
            code.run("named_arrive", {}, {named_barrier(Signal::Written, row_group()), threads});
        }
    };
    for (const Item &item : exchanged) {
        if (item.piece != piece) {
            close();
            piece = item.piece;
            code.run("named_sync", {}, {named_barrier(Signal::Free, row_group()), threads});
        }
        const Type type = program.value(item.value).type;
        const Expr value = device::get(type, plain(item.value), item.element);
        code.run("store_shared", {},
                 {exchange_address(item.word), type == Int(32) ? value : reinterpret(Int(32), value)});
    }
    close();
}

/** The rows' values into registers of the same names; fragments are read where they are used. */
void StreamKernel::receive_values(Code &code, Elements &elements) {
    if (exchanged.empty()) {
        return;
    }
    const Expr threads = u32(128 * choices.chains);
    const auto next_piece = [this, &code, threads] {
        code.run("named_arrive", {}, {named_barrier(Signal::Free, row_group()), threads});
        code.run("named_sync", {}, {named_barrier(Signal::Written, row_group()), threads});
    };
    // The results of the last block of rows may still be on their way out of the buffer.
    code.when(thread_index() % 128 == 0, [&] { code.run("bulk_wait_read"); });
    next_piece();
    auto next = std::make_shared<size_t>(0);
    const auto read = [this, next_piece, next](const Item &item) {
        if (*next > 0 && exchanged[*next - 1].piece != item.piece) {
            next_piece();
        }
        (*next)++;
        return device::call(program.value(item.value).type, "load_shared", {}, {exchange_address(item.word)});
    };
    while (*next < exchanged.size() && program.value(exchanged[*next].value).dims.size() == 1) {
        const Item &item = exchanged[*next];
        code.set(plain(item.value), item.element, read(item));
    }
    // Emission follows the order in which the elements were sent, group by group; the four of a group in any order.
    elements.foreign = [this, read, next](const std::string &value, int element) -> Expr {
        bool is_foreign = false;
        for (size_t c = 1; c < chains.size(); c++) {
            is_foreign |= chains[c].count(value) > 0;
        }
        if (!is_foreign) {
            return Expr();
        }
        size_t n = *next;
        while (n < exchanged.size() && (exchanged[n].value != value || exchanged[n].element != element)) {
            n++;
        }
        strobe_internal_assert(n < exchanged.size()) << value << " " << element << " was not sent";
        std::swap(exchanged[*next], exchanged[n]);
        return read(exchanged[*next]);
    };
}

}  // namespace strobe::cuda
