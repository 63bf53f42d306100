"""Phrases that lines are made of, by language. Entries are separated by "; "."""

# English "one" that does not count as a digit.
PRONOUNS = (
    "no one; this one; that one; which one; another one; the other one; the red one; the big one; one another; one "
    "of them; the new one; each one; every one; not that one; this one please; the right one; one day; the last one"
)

SENTENCES = {
    "en": "where is my coat; the dog runs; what a day; I do not know; late again; turn the music down; who left the "
    "lights on; the meeting is over; see you tomorrow; it is raining again; the driver is waiting outside; my "
    "battery is low; call the technician; nobody answered; the delivery is late; what time is it; can you hear me; "
    "it smells of smoke; someone is at the door; turn everything off; how warm is it; good night; all clear; nothing "
    "to report; the heating does not work; leave it there; I lost my key; please wait; do not touch; we are closed; "
    "lunch is ready; test; abc",
    "de": "wo ist mein Mantel; der Hund läuft; was für ein Tag; ich weiß es nicht; schon wieder zu spät; mach die "
    "Musik leiser; wer hat das Licht angelassen; die Sitzung ist vorbei; bis morgen; es regnet wieder; der Fahrer "
    "wartet draußen; mein Akku ist leer; ruf den Techniker; niemand hat geantwortet; die Lieferung kommt später; wie "
    "spät ist es; hörst du mich; es riecht nach Rauch; jemand ist an der Tür; alles ausschalten; wie warm ist es; "
    "gute Nacht; alles in Ordnung; die Heizung geht nicht; lass es liegen; ich habe einen Schlüssel verloren; bitte "
    "warten; nicht berühren; das Essen ist fertig; einen Moment bitte; ein Fenster ist offen; es fehlt eine Kiste",
    "fr": "où est mon manteau; le chien court; quelle journée; je ne sais pas; encore en retard; baisse la musique; "
    "qui a laissé la lumière; la réunion est finie; à demain; il pleut encore; le chauffeur attend dehors; appelle "
    "le technicien; personne ne répond; la livraison est en retard; quelle heure est-il; tu m'entends; ça sent la "
    "fumée; quelqu'un est à la porte; éteins tout; bonne nuit; rien à signaler; le chauffage ne marche pas; "
    "laisse-le là; j'ai perdu un gant; attendez un moment; ne pas toucher; le repas est prêt; un instant; il y a un "
    "problème; ouvre un peu la fenêtre; un camion arrive; c'est un ami; j'ai un colis pour vous",
    "es": "dónde está mi abrigo; el perro corre; qué día; no lo sé; otra vez tarde; baja la música; quién dejó la "
    "luz encendida; la reunión terminó; hasta mañana; llueve otra vez; el conductor espera fuera; llama al técnico; "
    "nadie responde; la entrega llega tarde; qué hora es; me oyes; huele a humo; alguien está en la puerta; apaga "
    "todo; buenas noches; sin novedad; la calefacción no funciona; déjalo allí; perdí un guante; espere un momento; "
    "no tocar; la comida está lista; un instante; hay un problema; abre un poco la ventana; llega un camión; es un "
    "amigo",
    "zh": "我的大衣在哪里; 狗在跑; 我不知道; 又迟到了; 音乐小声点; 谁没关灯; 会议结束了; 明天见; 又下雨了; "
    "司机在外面等; 没电了; 叫技术员来; 没人回答; 快递晚了; 现在几点; 听得见吗; 有烟味; 门口有人; 全部关掉; "
    "现在多少度; 晚安; 没有情况; 暖气坏了; 放在那里; 钥匙丢了; 请等一下; 不要碰; 饭好了; 我们一起去; 有一个问题; "
    "这是一样的; 等一会儿; 一切正常; 我一直在等; 一定要小心",
}

# What follows a digit's word in a greater number, and the spoken decimal point.
NUMBER_PARTS = {
    "en": ("hundred; thousand; million", "point"),
    "de": ("hundert; tausend; Millionen", "Komma"),
    "fr": ("cents; mille; millions", "virgule"),
    "es": ("mil; millones", "coma"),
    "zh": ("百; 千; 万; 十", "点"),
}

# Joins two digits. A line with two digits names none.
JOINS = {"en": "and; or; to", "de": "und; oder; bis", "fr": "et; ou; à", "es": "y; o; a", "zh": "和; 或; 到; 、"}

WITH_DIGIT = {
    "en": "{d}; {d}; {n} {d}; {n} {d}; {n} {d} {s}; {v} {n} {d}; {v} {n} {d} {s}; {g}, {v} {n} {d}; {g} {n} {d}; the "
    "{t} in {n} {d}; {v} the {t} in {n} {d}; {n} number {d}; number {d}; no. {d}; the number is {d}; {d} {s}; "
    "{v} {d}; {n}: {d}; the {t} is in {n} {d} {s}; {g}: {d}; {t} to {n} {d}; from {n} {d} to the {t}; {d} is "
    "the {n}; {d} - {n}; my {n} is {d}; {v} the {n} {d}; {n} {d}, {s}; the digit {d}; it says {d} on the {t}; "
    "there are {d} {t} here; {v} {d} {t}; {d} {t}; {n} {n} {d}; {o} {n} {d}; {n} {d} {o}; {o} {d} {o}; {o} {o} "
    "{d}; the answer is {d}; #{d}; nr {d}; ({d}); {g} {d} {s}",
    "de": "wer wartet an {n} {d}; ich stehe vor {n} {d}; wir sind gerade in {n} {d}; {n} {d} ist {o}; ist {n} {d} "
    "noch {o}; der {t} gehört zu {n} {d}; bring den {t} zu {n} {d}; stell die {t} auf {d}; es fehlen noch {d} "
    "{t}; nur noch {d} {t}; in {d} Minuten; seit {d} Tagen; {n} {d} klemmt; niemand in {n} {d}; Treffpunkt {n} "
    "{d}; bei {n} {d} leckt es; {n} {d} meldet einen Fehler; bitte {d} drücken; weiter mit {d}; {d}; {d}; {n} "
    "{d}; {n} {d}; {n} {d} {s}; {v} {n} {d}; {v} {n} {d} {s}; {g}, {v} {n} {d}; {g} {n} {d}; {t} in {n} {d}; "
    "{n} Nummer {d}; Nummer {d}; Nr. {d}; die Nummer ist {d}; {d} {s}; {v} {d}; {n}: {d}; die {t} ist in {n} "
    "{d} {s}; {g}: {d}; {t} nach {n} {d}; von {n} {d} zum {t}; {d} ist der {n}; {d} - {n}; mein {n} ist {d}; "
    "{n} {d}, {s}; die Ziffer {d}; eine {d}; das ist eine {d}; hier sind {d} {t}; {v} {d} {t}; {d} {t}; {n} {n} "
    "{d}; {o} {n} {d}; {n} {d} {o}; {o} {d} {o}; {o} {o} {d}; die Antwort ist {d}; #{d}; nr {d}; ({d}); in der "
    "{n} {d} ist {t}; {v} die {t} in {n} {d}; um {d} Uhr; {g} {d} {s}",
    "fr": "qui attend à la {n} {d}; je suis devant la {n} {d}; nous sommes au {n} {d}; la {n} {d} est {o}; est-ce que "
    "le {n} {d} est {o}; le {t} va au {n} {d}; apporte la {t} au {n} {d}; mets le {t} sur {d}; il manque {d} "
    "{t}; encore {d} {t}; dans {d} minutes; depuis {d} jours; le {n} {d} ne marche plus; personne dans la {n} "
    "{d}; rendez-vous {n} {d}; fuite à la {n} {d}; erreur sur la {n} {d}; appuyez sur {d}; continue avec le {d}; "
    "l'{n} {d}; le {d} {s}; au {d}; {d}; {d}; {n} {d}; {n} {d}; {n} {d} {s}; {v} {n} {d}; {v} la {n} {d} {s}; "
    "{g}, {v} {n} {d}; {g} {n} {d}; {t} dans la {n} {d}; {n} numéro {d}; numéro {d}; n° {d}; le numéro est {d}; "
    "{d} {s}; {v} {d}; {n}: {d}; le {t} est dans {n} {d} {s}; {g}: {d}; {t} vers {n} {d}; de la {n} {d} au {t}; "
    "{d} est la {n}; {d} - {n}; ma {n} est la {d}; {n} {d}, {s}; le chiffre {d}; c'est le {d}; il y a {d} {t} "
    "ici; {v} {d} {t}; {d} {t}; {n} {n} {d}; {o} {n} {d}; {n} {d} {o}; {o} {d} {o}; {o} {o} {d}; la réponse est "
    "{d}; #{d}; no {d}; ({d}); {v} la {t} de la {n} {d}; à {d} heures; {g} {d} {s}; on se retrouve {n} {d}; je "
    "crois que c'est {n} {d}; tu peux aller au {n} {d}; il reste {d} {t}; j'ai besoin de {d} {t}; on a commandé "
    "{d} {t}; avec {d} {t}; pour {d} {t}; près du {n} {d}; derrière la {n} {d}; entre dans la {n} {d}; le bus "
    "{d} {o}; le {n} {d} attend; les {d} {t} sont {o}; tapez {d}; faites le {d}; niveau {d}; plus que {d}; au "
    "moins {d} {t}; environ {d} {t}; toutes les {d} minutes; il est {d} heures; vers {d} heures; il y a {d} ans; "
    "il a {d} ans; j'en veux {d}; il en reste {d}; prenez-en {d}; encore {d}; c'est la {n} {d} qui est {o}; pas "
    "la {n} {d}; {t} et {n} {d}; {o}, {n} {d}; {g} {t}, {n} {d} {s}; l'{t} de la {n} {d}; {v} l'{t} {d}; j'ai "
    "{d} {t}; nous sommes {d}; on est {d} {s}; {t} à {d} euros; la {d}, {s}; le {d}, pas {o}; {v} les {d} {t}; "
    "ça fait {d}; {d} fois {s}; {n} {d} {o} {s}; ton {n}, c'est {d}; votre {n} : {d}; {n} : {d}; {d} {t} {o} {s}",
    "es": "quién espera en la {n} {d}; estoy delante de la {n} {d}; estamos en el {n} {d}; la {n} {d} está {o}; sigue "
    "{o} el {n} {d}; el {t} va al {n} {d}; lleva la {t} a la {n} {d}; pon el {t} en {d}; faltan {d} {t}; solo "
    "{d} {t}; en {d} minutos; desde hace {d} días; el {n} {d} no funciona; nadie en la {n} {d}; nos vemos en "
    "{n} {d}; fuga en la {n} {d}; error en el {n} {d}; pulse {d}; sigue con el {d}; el {d} {s}; {d}; {d}; {n} "
    "{d}; {n} {d}; {n} {d} {s}; {v} {n} {d}; {v} la {n} {d} {s}; {g}, {v} {n} {d}; {g} {n} {d}; {t} en la {n} "
    "{d}; {n} número {d}; número {d}; núm. {d}; el número es {d}; {d} {s}; {v} {d}; {n}: {d}; el {t} está en "
    "{n} {d} {s}; {g}: {d}; {t} hacia {n} {d}; de la {n} {d} al {t}; {d} es la {n}; {d} - {n}; mi {n} es la "
    "{d}; {n} {d}, {s}; la cifra {d}; es el {d}; hay {d} {t} aquí; {v} {d} {t}; {d} {t}; {n} {n} {d}; {o} {n} "
    "{d}; {n} {d} {o}; {o} {d} {o}; {o} {o} {d}; la respuesta es {d}; #{d}; nº {d}; ({d}); {v} la {t} de la {n} "
    "{d}; a las {d}; {g} {d} {s}",
    "zh": "谁在{n}{d}; 我在{d}{c}; {d}{c}坏了; {n}{d}没有人; 还差{d}{c}{t}; 调到{d}; 选{d}; {d}{c}漏水; "
    "把{t}拿到{d}{c}; {d}; {d}; {n}{d}; {n}{d}; {d}{c}; {d}{c}; {n}{d}{c}; "
    "{v}{d}{c}; {v}{d}{c}{s}; {g}，{v}{d}{c}; {g}{d}{c}; {t}在{d}{c}; {n}编号{d}; "
    "第{d}{c}; 编号{d}; 号码是{d}; {v}{n}{d}; {n}：{d}; {d}{c}{s}; {g}：{d}; {t}送到{d}{c}; "
    "从{d}{c}到{t}; 数字{d}; 这是{d}; 这是数字{d}; {v}第{d}{n}; {o}{d}{c}; {d}{c}{o}; "
    "{o}{n}{d}; {n} {d}; {d} 号; {v} {d} {c}; 答案是{d}; #{d}; （{d}）; {v}{d}{c}的{t}; "
    "{d}{c}的{t}{o}; 请按{d}; 去{d}{c}{n}; {v}{d}{n}; {o}{o}{d}",
}
# Slots: {d} the digit, {n} numbered, {t} thing, {v} verb, {o} other, {g} greeting, {s} courtesy, {c} counter.
WITHOUT_DIGIT = {
    "en": "{v} the {t}; {v} the {t} {s}; {g}, {v} the {t}; {t}; {g}; the {t} is {o}; {t} and {t}; {o} {t} {o}; {v} "
    "{n}; the {n} {s}; {o} {o} {o}; {o} {o} {t} {o} {o}; {v} {t} in the {n}; {g} {s}; {t} in the {t} {s}; is the {t} "
    "{o}; {v} a {t}",
    "de": "{v} die {t}; {v} die {t} {s}; {g}, {v} das {t}; {t}; {g}; der {t} ist {o}; {t} und {t}; {o} {t} {o}; {v} "
    "{n}; der {n} {s}; {o} {o} {o}; {o} {o} {t} {o} {o}; {v} ein {t} im {n}; {g} {s}; eine {t} im {t} {s}; ist die "
    "{t} {o}; {v} einen {t}; {v} eine {t}",
    "fr": "{v} la {t}; {v} le {t} {s}; {g}, {v} la {t}; {t}; {g}; le {t} est {o}; {t} et {t}; {o} {t} {o}; {v} {n}; la "
    "{n} {s}; {o} {o} {o}; {o} {o} {t} {o} {o}; {v} {t} dans la {n}; {g} {s}; {t} dans le {t} {s}; {v} un {t}; "
    "un {t} {o}; c'est un {t} {o}; il y a un {t} ici; {g}, {v} un {t}; {o} un {t}; un {t} dans la {n}; {v} un "
    "{t} {o}; {v} un {t} {s}; l'{t} est {o}; {v} l'{t}; {o} l'{t} {s}; les {t} {o}; {v} les {t} {s}; c'est {o}; "
    "j'ai {o}; il n'y a pas de {t}; {g} {t} {o}; on {o} la {n}; qui {o} le {t}; {t}, {t} et {t}",
    "es": "{v} la {t}; {v} el {t} {s}; {g}, {v} la {t}; {t}; {g}; el {t} está {o}; {t} y {t}; {o} {t} {o}; {v} {n}; "
    "la {n} {s}; {o} {o} {o}; {o} {o} {t} {o} {o}; {v} {t} en la {n}; {g} {s}; {t} en el {t} {s}; {v} un {t}; un {t} "
    "{o}; es un {t} {o}; hay un {t} aquí; {g}, {v} un {t}; {o} un {t}; {v} un {t} {s}",
    "zh": "{v}{t}; {v}{t}{s}; {g}，{v}{t}; {t}; {g}; {t}{o}; {t}和{t}; {o}{t}{o}; {v}{n}; {n}{s}; {o}{o}{o}; "
    "{o}{o}{t}{o}; {v}{n}的{t}; {g}{s}; {t}在{t}{s}; {o} {t}; {v}一个{t}; {o}一下{t}",
}
