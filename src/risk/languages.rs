//! Words of other languages, as descriptions and now and then names have them: Polish, German, French, Spanish,
//! Portuguese, Italian, Dutch, Russian, and by their signs Chinese and Japanese. Without accents; lists are sorted.
//!
//! Verbs stand as descriptions put them, in the third person, the infinitive or the imperative. Words that are English
//! too are left out.

use super::Category;
use super::words::{self, words};

use Category::{Destructive, Execute, Financial, Read, Write};

#[rustfmt::skip]
const TABLE: &[(Category, &str)] = &[
    (Financial, words![
        "achete", "acheter", "acquista", "acquistare", "addebita", "betaalt", "betalen", "betaling", "bezahlen",
        "bezahlt", "cobranca", "cobrar", "compra", "comprar", "erstatten", "erstattet", "factura", "facture",
        "facturer", "factuur", "faktura", "fakture", "faktury", "fattura", "fatura", "kaufen", "kauft", "koopt",
        "kopen", "kup", "kupuje", "obciaza", "oplaca", "paga", "pagamento", "pagamentos", "pagar", "pagare", "pago",
        "pagos", "paie", "paiement", "paiements", "paye", "payer", "placi", "platnosc", "platnosci", "przelej",
        "przelewa", "rechnung", "reembolsa", "reembolsar", "reembolso", "rembourse", "rembourser", "rimborsa",
        "rimborsare", "uberweisen", "uberweist", "ueberweisen", "virement", "zahlen", "zahlt", "zahlung", "zaplac",
        "возврат", "купить", "оплата", "оплатить", "оплачивает", "платеж", "платит", "покупает",
    ]),
    (Destructive, words![
        "annule", "annuleert", "annuler", "annuleren", "annulla", "annullare", "anuluj", "anuluje", "apaga", "apagar",
        "borra", "borrar", "bricht", "cancela", "cancelar", "cancella", "cancellare", "czysci", "deleta", "deletar",
        "destruir", "destruye", "detruire", "detruit", "distrugge", "efface", "effacer", "elimina", "eliminar",
        "eliminare", "entfernen", "entfernt", "esvazia", "exclui", "excluir", "kasowac", "kasuje", "leeren", "leert",
        "limpa", "limpar", "loesche", "loeschen", "loescht", "loschen", "loscht", "niszczy", "przerywa",
        "quita", "quitar", "retirer", "revoca", "revocar", "revocare", "revoga", "revoque", "revoquer",
        "rimuove", "rimuovere", "skasuj", "stornieren", "storniert", "supprime", "supprimer", "suprime", "suprimir",
        "svuota", "svuotare", "uniewaznia", "usun", "usunac", "usuwa", "vacia", "vaciar", "vernichtet", "vernietigt",
        "verwijder", "verwijderen", "verwijdert", "vide", "vider", "widerruft", "wissen", "wist", "wyczysc",
        "wymazuje", "zerstort", "отменить", "отменяет", "очистить", "очищает", "стирает", "удалить", "удаляет",
        "уничтожает",
    ]),
    (Execute, words![
        "ausfuehren", "ausfuhren", "avvia", "avviare", "declenche", "declencher", "demarre", "demarrer", "dispara",
        "ejecuta", "ejecutar", "esegue", "eseguire", "executa", "executar", "executer", "fuhrt", "inicia",
        "iniciar", "lance", "lancer", "lancia", "lanza", "lanzar", "starten", "startet", "startuje", "uitvoeren",
        "uruchamia", "uruchom", "uruchomic", "voert", "wykonac", "wykonaj", "wykonuje", "wywoluje", "wyzwala",
        "выполнить", "выполняет", "запускает", "запустить", "исполняет",
    ]),
    (Write, words![
        "aanmaken", "actualiza", "actualizar", "adiciona", "adicionar", "aendert", "aggiorna", "aggiornare",
        "aggiunge", "aggiungere", "agrega", "agregar", "ajoute", "ajouter", "aktualisieren", "aktualisiert",
        "aktualizuj", "aktualizuje", "altera", "alterar", "anade", "anadir", "andern", "andert", "anlegen", "asigna",
        "asignar", "assigne", "atribui", "attribue", "atualiza", "atualizar", "bearbeiten", "bearbeitet", "bewerkt",
        "bijwerken", "carica", "copia", "copiar", "copie", "crea", "crear", "creare", "cree", "creer",
        "cria", "criar", "definir", "definit", "deplace", "deplacer", "dodac", "dodaj", "dodaje", "ecrire", "ecrit",
        "edita", "editar", "edytuj", "edytuje", "eksportuje", "enregistre", "enregistrer", "envia", "enviar",
        "envoie", "envoyer", "erstellen", "erstellt", "erzeugt", "escreve", "escrever", "escribe", "escribir",
        "establece", "fugt", "genere", "generer", "generuje", "guarda", "guardar", "hinzufugen",
        "importuje", "imposta", "impostare", "invia", "inviare", "kopieren", "kopiert", "kopiuje", "legt", "maakt",
        "modifica", "modificar", "modificare", "modifie", "modyfikuje", "mover", "mueve", "odlacza",
        "odpina", "opslaan", "pausiert", "przenosi", "przypisuje", "przypisz", "salvar", "salvare",
        "schreiben", "schreibt", "schrijft", "scrive", "scrivere", "senden", "sendet", "setzt", "slaat", "speichern",
        "speichert", "sposta", "spostare", "stuurt", "toevoegen", "tworzy", "tworzyc", "ustaw", "ustawia", "utworz",
        "verplaatst", "verschieben", "verschiebt", "verzenden", "verzendt", "voegt", "weist", "werkt", "wijzigen",
        "wijzigt", "wstrzymaj", "wstrzymuje", "wyslac", "wyslij", "wysyla", "wznawia", "wznow", "zaktualizuj",
        "zapisuje", "zapisz", "zmien", "zmienia", "zmienic", "добавить", "добавляет", "записывает", "изменить",
        "изменяет", "обновить", "обновляет", "отправить", "отправляет", "создает", "создать", "сохранить",
        "сохраняет",
    ]),
    (Read, words![
        "abrufen", "affiche", "afficher", "anzeigen", "auflisten", "busca", "buscar", "cerca", "cercare", "cherche",
        "chercher", "comprueba", "consulta", "consultar", "consulte", "consulter", "devuelve", "durchsucht", "elenca",
        "elencare", "encontrar", "encuentra", "finden", "findet", "geeft", "gibt", "haalt", "holt", "le", "lee",
        "leer", "leest", "legge", "leggere", "leggi", "ler", "lesen", "lezen", "liefert", "liest", "lire", "listar",
        "lister", "listet", "listuje", "mostra", "mostrar", "mostrare", "muestra", "obtem", "obtener", "obtenir",
        "obter", "obtiene", "obtient", "odczytaj", "odczytuje", "ophalen", "ottenere", "ottiene", "pesquisa",
        "pesquisar", "pobiera", "pobierac", "pobierz", "pokaz", "pokazuje", "porownuje", "procura", "procurar",
        "prueft", "prufen", "pruft", "przeglada", "recherche", "rechercher", "recupera", "recuperar", "recuperare",
        "recupere", "recuperer", "renvoie", "restituisce", "retorna", "retourne", "ruft", "sprawdz", "sprawdza",
        "suchen", "sucht", "szuka", "tonen", "toont", "trouve", "trouver", "trova", "trovare", "verifica",
        "verificar", "verifie", "verifier", "vinden", "vindt", "visualizza", "waliduje", "wyswietl", "wyswietla",
        "wyszukaj", "wyszukuje", "zeigt", "znajduje", "znajdz", "zoeken", "zoekt", "zwraca", "возвращает", "ищет",
        "найти", "поиск", "показать", "показывает", "получает", "получить", "прочитать", "список", "читает",
    ]),
];

/// Riskiest first: a sentence without blanks is judged by the riskiest sign in it.
#[rustfmt::skip]
const SIGNS: &[(Category, &[&str])] = &[
    (Financial, &["支付", "付款", "退款", "转账", "購入", "购买", "支払", "返金", "請求", "发票", "결제", "환불"]),
    (Destructive, &["删除", "刪除", "移除", "清空", "销毁", "取消", "削除", "消去", "破棄", "삭제", "취소"]),
    (Execute, &["执行", "執行", "运行", "启动", "触发", "調用", "调用", "実行", "起動", "실행"]),
    (Write, &["创建", "創建", "建立", "新建", "更新", "修改", "添加", "设置", "发送", "上传", "编辑", "保存", "写入",
        "作成", "追加", "変更", "編集", "送信", "設定", "書き込", "생성", "추가", "수정", "업데이트", "전송"]),
    (Read, &["获取", "獲取", "查询", "查詢", "查看", "列出", "搜索", "读取", "检索", "返回", "取得", "一覧", "検索",
        "表示", "読み", "確認", "조회", "검색", "목록"]),
];

/// What `word` says in another language.
pub(super) fn entry(word: &str) -> Option<Category> {
    TABLE.iter().find(|(_, words)| words::is_in(words, word)).map(|(says, _)| *says)
}

/// The riskiest sign within a word of a script that has no blanks.
pub(super) fn sign(word: &str) -> Option<(&'static str, Category)> {
    if word.is_ascii() {
        return None;
    }
    SIGNS.iter().find_map(|(says, signs)| signs.iter().find(|sign| word.contains(**sign)).map(|sign| (*sign, *says)))
}

#[cfg(test)]
mod tests {
    use super::super::lexicon;
    use super::*;

    #[test]
    fn lists_are_sorted_and_say_nothing_that_english_says_otherwise() {
        for (says, words) in TABLE {
            assert!(words.split(' ').is_sorted(), "{says:?}");
            for word in words.split(' ') {
                assert!(lexicon::entry(word).is_none_or(|english| english.says == *says), "{word}");
            }
        }
    }
}
