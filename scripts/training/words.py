"""Words that lines are made of, by language. Entries are separated by "; ".

A digit counts if it is used as a number, in all its variants. An article, a pronoun and a numeral inside another word
do not count. French "salle un" names 1, and "un livre" names none. "uno" and "eins" name 1. "ein", "eine", "no one" and
"un" before a Spanish noun name none. 一号 names 1, 一起 and 星期三 name none. Ordinals in words ("third") name none.
Several digits together name none.
"""

# Other words for the digits, besides voices.DIGIT_WORDS.
MORE_DIGIT_WORDS = {
    "en": {0: "nought"},
    "de": {2: "zwo"},
    "zh": {
        0: "〇 零",
        1: "壹",
        2: "两 二 贰 兩 貳",
        3: "叁 參 三",
        4: "肆 四",
        5: "伍 五",
        6: "陆 陸 六",
        7: "柒 七",
        8: "捌 八",
        9: "玖 九",
    },
}

# Things that have a number.
NUMBERED = {
    "en": "room; gate; shelf; bay; platform; zone; door; table; desk; floor; level; line; lane; channel; track; "
    "aisle; rack; dock; slot; bin; box; pallet; cell; station; terminal; counter; window; locker; seat; row; "
    "section; sector; area; hall; building; block; unit; house; apartment; office; lab; ward; bed; lift; elevator; "
    "stairs; exit; entrance; camera; lamp; light; fan; heater; valve; pump; motor; robot; cart; truck; forklift; "
    "belt; conveyor; machine; printer; screen; display; speaker; sensor; switch; button; key; code; position; place; "
    "stop; bus; tram; train; flight; page; chapter; step; level; group; team; player; order; ticket; parcel; "
    "package; container; tank; ramp; warehouse; corridor; cabin; scene; preset; mode; program; option; answer; item; "
    "part; number; digit; figure; garage",
    "de": "Raum; Zimmer; Tor; Regal; Bucht; Bahnsteig; Zone; Tür; Tisch; Etage; Stock; Ebene; Linie; Spur; Kanal; "
    "Gleis; Gang; Rampe; Fach; Kiste; Karton; Palette; Zelle; Station; Terminal; Schalter; Fenster; Spind; Platz; "
    "Reihe; Sektor; Bereich; Halle; Gebäude; Block; Einheit; Haus; Wohnung; Büro; Labor; Bett; Aufzug; Fahrstuhl; "
    "Treppe; Ausgang; Eingang; Kamera; Lampe; Licht; Lüfter; Heizung; Ventil; Pumpe; Motor; Roboter; Wagen; Laster; "
    "Stapler; Band; Maschine; Drucker; Bildschirm; Sensor; Taste; Schlüssel; Code; Position; Stelle; Haltestelle; "
    "Bus; Bahn; Zug; Flug; Seite; Kapitel; Schritt; Stufe; Gruppe; Mannschaft; Spieler; Auftrag; Paket; Behälter; "
    "Tank; Lager; Lagerplatz; Korridor; Kabine; Szene; Modus; Programm; Option; Antwort; Teil; Nummer; Nr.; Ziffer; "
    "Zahl; Garage; Saal; Parkplatz",
    "fr": "salle; chambre; pièce; porte; portail; étagère; baie; quai; zone; table; bureau; étage; niveau; ligne; "
    "voie; canal; chaîne; allée; rayon; rampe; case; boîte; caisse; carton; palette; cellule; station; terminal; "
    "guichet; fenêtre; casier; place; siège; rangée; secteur; hall; bâtiment; bloc; unité; maison; appartement; "
    "labo; lit; ascenseur; escalier; sortie; entrée; caméra; lampe; lumière; ventilateur; radiateur; vanne; "
    "pompe; moteur; robot; chariot; camion; tapis; machine; imprimante; écran; capteur; bouton; touche; clé; "
    "code; position; arrêt; bus; tram; train; vol; page; chapitre; étape; groupe; équipe; joueur; commande; "
    "colis; paquet; conteneur; cuve; entrepôt; couloir; cabine; scène; mode; programme; option; réponse; partie; "
    "numéro; n°; chiffre; garage; emplacement; hangar; atelier; bassin; borne; chantier; classe; compteur; cour; "
    "dépôt; disque; exercice; gare; grue; îlot; leçon; lot; métro; panneau; parking; piste; plan; poste; prise; "
    "rue; serveur; session; tableau; taxi; tour; tunnel; véhicule; virage; wagon",
    "es": "sala; habitación; cuarto; puerta; portón; estante; bahía; andén; zona; mesa; escritorio; piso; planta; "
    "nivel; línea; carril; vía; canal; pasillo; rampa; casilla; caja; palé; celda; estación; terminal; ventanilla; "
    "mostrador; ventana; taquilla; plaza; asiento; fila; sector; sección; nave; edificio; bloque; unidad; casa; "
    "apartamento; oficina; laboratorio; cama; ascensor; escalera; salida; entrada; cámara; lámpara; luz; ventilador; "
    "calefactor; válvula; bomba; motor; robot; carro; camión; cinta; máquina; impresora; pantalla; sensor; botón; "
    "tecla; llave; código; posición; parada; autobús; tranvía; tren; vuelo; página; capítulo; paso; grupo; equipo; "
    "jugador; pedido; paquete; contenedor; tanque; almacén; corredor; cabina; escena; modo; programa; opción; "
    "respuesta; parte; número; núm.; cifra; dígito; garaje; muelle; depósito",
    "zh": "房间; 会议室; 门; 大门; 货架; 仓库; 站台; 区域; 桌子; 楼层; 线路; 车道; 频道; 轨道; 通道; 码头; 箱子; "
    "货位; 托盘; 窗口; 柜台; 座位; 柜子; 大厅; 楼; 单元; 办公室; 实验室; 床; 电梯; 楼梯; 出口; 入口; 摄像头; 灯; "
    "风扇; 阀门; 水泵; 电机; 机器人; 推车; 卡车; 叉车; 传送带; 机器; 打印机; 屏幕; 传感器; 按钮; 钥匙; 密码; 位置; "
    "车站; 公交; 火车; 航班; 页; 步骤; 小组; 订单; 包裹; 集装箱; 走廊; 场景; 模式; 程序; 选项; 答案; 编号; 号码; "
    "数字; 车库; 车位; 病房; 教室; 宿舍",
}

# Things without a number, to fetch, see or talk about.
THINGS = {
    "en": "light; lights; lamp; blinds; curtain; music; heating; water; coffee; tea; bottle; umbrella; coat; paper; "
    "window; garden; kitchen; bathroom; bedroom; camera; alarm; radio; television; phone; laptop; battery; charger; "
    "cable; hammer; screw; tools; wood; steel; paint; bread; milk; sugar; apples; fruit; meat; fish; rice; soup; "
    "salad; dog; cat; bird; horse; child; children; man; woman; people; driver; guard; visitor; customer; manager; "
    "worker; doctor; friend; neighbour; boss; nurse; teacher; meeting; lunch; dinner; breakfast; break; holiday; "
    "weekend; weather; rain; snow; wind; sun; sky; street; road; bridge; river; town; village; city; market; shop; "
    "school; hospital; church; park; airport; car; bike; boat; plane; engine; tyre; wheel; map; sign; letter; "
    "message; report; list; invoice; label; barcode; delivery; shipment; goods; stock; crate; ladder; rope; glove; "
    "helmet; jacket; shoes; book; pen; pencil; picture; film; song; game; ball; chair; sofa; carpet; wall; roof; "
    "ceiling; temperature; pressure; signal; error; warning; problem; question; system; update; password; network; "
    "server; file; folder; volume",
    "de": "Lichter; Rollladen; Vorhang; Musik; Heizung; Wasser; Kaffee; Tee; Flasche; Schirm; Mantel; Papier; "
    "Garten; Küche; Bad; Schlafzimmer; Alarm; Radio; Fernseher; Telefon; Rechner; Batterie; Kabel; Hammer; Schraube; "
    "Werkzeug; Holz; Stahl; Farbe; Brot; Milch; Zucker; Äpfel; Obst; Fleisch; Fisch; Suppe; Salat; Hund; Katze; "
    "Vogel; Pferd; Kind; Kinder; Mann; Frau; Leute; Fahrer; Wächter; Besucher; Kunde; Chef; Arbeiter; Arzt; Freund; "
    "Nachbar; Lehrer; Sitzung; Mittagessen; Abendessen; Frühstück; Pause; Urlaub; Wochenende; Wetter; Regen; Schnee; "
    "Wind; Sonne; Himmel; Straße; Weg; Brücke; Fluss; Stadt; Dorf; Markt; Laden; Schule; Krankenhaus; Kirche; Park; "
    "Flughafen; Auto; Fahrrad; Boot; Flugzeug; Reifen; Rad; Karte; Schild; Brief; Nachricht; Bericht; Liste; "
    "Rechnung; Lieferung; Ware; Bestand; Leiter; Seil; Handschuh; Helm; Jacke; Schuhe; Buch; Stift; Bild; Film; "
    "Lied; Spiel; Ball; Stuhl; Sofa; Teppich; Wand; Dach; Decke; Temperatur; Druck; Signal; Fehler; Warnung; "
    "Problem; Frage; System; Passwort; Netz; Datei; Ordner; Lautstärke; Strom; Zeit; Uhr; Tag; Abend; Morgen; Woche; "
    "Monat; Jahr; Zimmerpflanze; Hausmeister; Feuerwehr; Polizei",
    "fr": "lumières; store; rideau; musique; chauffage; eau; café; thé; bouteille; parapluie; manteau; papier; jardin; "
    "cuisine; bain; alarme; radio; télé; téléphone; ordinateur; pile; câble; marteau; vis; outils; bois; acier; "
    "peinture; pain; lait; sucre; pommes; fruits; viande; poisson; riz; soupe; salade; chien; chat; oiseau; "
    "cheval; enfant; enfants; homme; femme; gens; chauffeur; gardien; visiteur; client; chef; ouvrier; médecin; "
    "ami; voisin; professeur; réunion; déjeuner; dîner; pause; vacances; week-end; temps; pluie; neige; vent; "
    "soleil; ciel; rue; route; pont; rivière; ville; village; marché; magasin; école; hôpital; église; parc; "
    "aéroport; voiture; vélo; bateau; avion; pneu; roue; carte; panneau; lettre; message; rapport; liste; "
    "facture; livraison; marchandise; stock; échelle; corde; gant; casque; veste; chaussures; livre; stylo; "
    "image; film; chanson; jeu; ballon; chaise; canapé; mur; toit; plafond; température; pression; signal; "
    "erreur; alerte; problème; question; système; réseau; fichier; dossier; volume; monde; jour; soir; matin; "
    "semaine; mois; année; heure; minute; moment; peu; verre; serrure; pompier; police; valise; sac; tasse; "
    "assiette; fourchette; couteau; cuillère; oreiller; drap; savon; serviette; clavier; souris; cahier; crayon; "
    "enveloppe; timbre; horloge; montre; billet; ticket; clou; tuyau; robinet; évier; four; frigo; poubelle; "
    "balai; seau; arbre; fleur; feuille; montagne; plage; mer; lac; usine; entrepôt; frère; mère; père; fille; "
    "garçon; bébé; moto; essence; beurre; fromage; carotte; tomate; gâteau; bière; jus; courrier; clients; "
    "bagages; étudiants; élèves; fois; minutes; jours; ans; kilos; litres; mètres; euros; places; pages; "
    "morceaux; oeufs",
    "es": "luces; persiana; cortina; música; calefacción; agua; café; té; botella; paraguas; abrigo; papel; jardín; "
    "cocina; baño; dormitorio; alarma; radio; televisor; teléfono; ordenador; pila; cable; martillo; tornillo; "
    "herramientas; madera; acero; pintura; pan; leche; azúcar; manzanas; fruta; carne; pescado; arroz; sopa; "
    "ensalada; perro; gato; pájaro; caballo; niño; niños; hombre; mujer; gente; conductor; guardia; visitante; "
    "cliente; jefe; obrero; médico; amigo; vecino; profesor; reunión; comida; cena; desayuno; descanso; vacaciones; "
    "tiempo; lluvia; nieve; viento; sol; cielo; calle; camino; puente; río; ciudad; pueblo; mercado; tienda; "
    "escuela; hospital; iglesia; parque; aeropuerto; coche; bicicleta; barco; avión; rueda; mapa; cartel; carta; "
    "mensaje; informe; lista; factura; entrega; mercancía; existencias; cuerda; guante; casco; chaqueta; zapatos; "
    "libro; lápiz; imagen; película; canción; juego; pelota; silla; sofá; alfombra; pared; techo; temperatura; "
    "presión; señal; error; aviso; problema; pregunta; sistema; red; archivo; carpeta; volumen; mundo; día; noche; "
    "tarde; mañana; semana; mes; año; hora; minuto; momento; poco; vaso; cerradura; bombero; policía",
    "zh": "窗帘; 音乐; 暖气; 空调; 水; 咖啡; 茶; 瓶子; 雨伞; 大衣; 纸; 花园; 厨房; 浴室; 卧室; 警报; 收音机; 电视; "
    "电话; 电脑; 电池; 电缆; 锤子; 螺丝; 工具; 木头; 钢铁; 油漆; 面包; 牛奶; 糖; 苹果; 水果; 肉; 鱼; 米饭; 汤; 狗; "
    "猫; 鸟; 马; 孩子; 男人; 女人; 大家; 司机; 保安; 访客; 客户; 经理; 工人; 医生; 朋友; 邻居; 老师; 会议; 午饭; "
    "晚饭; 早饭; 假期; 周末; 天气; 雨; 雪; 风; 太阳; 天空; 街道; 马路; 桥; 河; 城市; 村庄; 市场; 商店; 学校; 医院; "
    "公园; 机场; 汽车; 自行车; 船; 飞机; 轮胎; 地图; 牌子; 信; 消息; 报告; 清单; 发票; 快递; 货物; 库存; 梯子; 绳子; "
    "手套; 头盔; 鞋子; 书; 笔; 照片; 电影; 歌; 游戏; 球; 椅子; 沙发; 地毯; 墙; 屋顶; 温度; 压力; 信号; 错误; 警告; "
    "问题; 系统; 网络; 文件; 音量; 上下; 天地; 山水; 日月; 大小; 土木; 人口",
}

# Actions, to stand before their object.
VERBS = {
    "en": "open; close; lock; unlock; go to; please go to; check; clean; switch on; switch off; turn on; turn off; "
    "show; show me; call; find; move to; send to; bring it to; take it to; load; unload; start; stop; reset; select; "
    "press; push; watch; book; reserve; leave; enter; drive to; come to; meet me at; wait at; put it in; pick from; "
    "scan; stop at; turn left at; look at; I see; I am in; I am at; I want; I need; we are at; we need; can you "
    "open; could you check; let me into; is there someone in; where is; there is; it is; this is; do not open; "
    "please close; heat; cool; dim; empty; fill; count; repair; restart; activate; deactivate; choose; remember; "
    "ignore; return to; report to; deliver to; ship to; proceed to; guide me to; walk to; keep; hold; park at",
    "de": "öffne; schließe; sperre; entsperre; gehe zu; bitte in; prüfe; reinige; schalte ein; schalte aus; mach "
    "auf; mach zu; zeige; zeig mir; rufe; finde; fahre zu; bringe es zu; schicke nach; belade; entlade; starte; "
    "stoppe; wähle; drücke; beobachte; buche; reserviere; verlasse; betrete; komm zu; warte an; lege es in; nimm "
    "aus; scanne; halte an; schau auf; ich sehe; ich bin in; ich stehe an; ich will; ich brauche; wir sind an; wir "
    "brauchen; kannst du öffnen; könnten Sie prüfen; lass mich in; ist jemand in; wo ist; da ist; es ist; das ist; "
    "nicht öffnen; bitte schließen; heize; kühle; dimme; leere; fülle; zähle; repariere; aktiviere; merke; "
    "ignoriere; zurück zu; melde an; liefere an; führe mich zu; laufe zu; behalte; parke auf; bitte öffnen; das ist "
    "die; es geht zu; nimm; gib mir; weiter zu",
    "fr": "ouvre; ouvrez; ferme; fermez; verrouille; va à; allez à; vérifie; nettoie; allume; éteins; montre; "
    "montrez-moi; appelle; trouve; conduis à; apporte à; envoie à; charge; décharge; démarre; arrête; choisis; "
    "appuie sur; regarde; réserve; quitte; entre dans; viens à; attends à; mets dans; prends; prenez; scanne; je "
    "vois; je suis dans; je veux; il me faut; nous sommes à; nous avons besoin de; peux-tu ouvrir; pouvez-vous "
    "vérifier; y a-t-il quelqu'un dans; où est; voici; voilà; c'est; c'est la; ce n'est pas; il y a; n'ouvre "
    "pas; chauffe; vide; remplis; compte; répare; active; désactive; retiens; ignore; retourne à; livre à; "
    "guide-moi vers; marche vers; garde; gare-toi à; passez à; rendez-vous à; tourne à; descends à; monte à; "
    "donne-moi; on est à; on va à; je voudrais; veuillez ouvrir; on ouvre; pouvez-vous fermer; j'arrive à; je "
    "cherche; ils sont dans; nous montons à; elle attend devant; préviens; branche; débranche; essuie; pose; "
    "range; coupe; lance; relance; pourriez-vous vérifier; j'ai vu; tu as fermé; on a trouvé; il manque; reste; "
    "j'ai besoin de; il faut; passe par; rejoins; déplace",
    "es": "abre; abra; cierra; cierre; bloquea; ve a; vaya a; revisa; limpia; enciende; apaga; muestra; muéstrame; "
    "llama; busca; conduce a; lleva a; trae a; envía a; carga; descarga; arranca; para; elige; pulsa; mira; reserva; "
    "deja; entra en; ven a; espera en; pon en; toma; tome; coge; escanea; veo; estoy en; quiero; necesito; estamos "
    "en; necesitamos; puedes abrir; podría revisar; hay alguien en; dónde está; aquí está; hay; es; es la; esta es; "
    "no abras; no es; calienta; enfría; vacía; llena; cuenta; repara; activa; desactiva; recuerda; ignora; vuelve a; "
    "entrega a; guíame a; camina a; guarda; aparca en; pase a; gira en; baja a; sube a; dame; vamos a; llévame a; "
    "quédate en; mueve a",
    "zh": "打开; 关闭; 关上; 锁上; 解锁; 请到; 请去; 去; 检查; 清洁; 开; 关; 显示; 呼叫; 找到; 移动到; 送到; 带到; "
    "装载; 卸货; 启动; 停止; 选择; 按; 看; 预订; 离开; 进入; 开到; 来; 等在; 放到; 扫描; 停在; 我看见; 我在; 我要; "
    "我需要; 我们在; 能不能打开; 请检查; 有人在; 在哪里; 这里是; 这是; 不要打开; 加热; 调暗; 清空; 修理; 重启; 激活; "
    "记住; 忽略; 返回; 交给; 运到; 带我去; 走到; 保持; 停车在; 请打开; 请关闭; 帮我打开; 麻烦去; 把它放在; "
    "请把车停在; 前往; 转到; 调到; 换到; 通知",
}

# Other common words, in no order.
OTHERS = {
    "en": "now; later; today; tomorrow; yesterday; tonight; always; never; maybe; again; soon; quickly; slowly; "
    "here; there; upstairs; downstairs; outside; inside; empty; full; open; closed; locked; free; busy; ready; "
    "broken; dirty; clean; hot; cold; warm; dark; bright; loud; quiet; big; small; large; red; green; blue; yellow; "
    "black; white; old; new; good; bad; wrong; right; left; first; last; next; other; same; late; early; very; too; "
    "also; only; still; already; not; but; and; or; if; when; because; with; without; before; after; behind; under; "
    "over; near; from; into; my; your; his; her; our; their; every; all; some; many; few; more; less; much; what; "
    "who; why; how; would; should; must; might; think; know; want; like; love; hear; tell; say; ask; give; buy; "
    "sell; eat; drink; sleep; work; play; read; write; run; Monday; Tuesday; Wednesday; Thursday; Friday; Saturday; "
    "Sunday; January; March; July; October; to; the; a; an; in; on; at; by; of; is; are; was; were; be; been; has; "
    "have; had; do; does; did; as; it; its; he; she; we; they; me; us; them; this; that; these; those; so; up; out; "
    "off; than; then; ok; okay; fine; hello; hi; thanks; sorry; help; urgent; careful; emergency; finished; home; "
    "away; alone; together; everything; nothing",
    "de": "jetzt; später; heute; morgen; gestern; immer; nie; vielleicht; wieder; bald; schnell; langsam; hier; "
    "dort; oben; unten; draußen; drinnen; leer; voll; offen; zu; gesperrt; frei; besetzt; bereit; kaputt; schmutzig; "
    "sauber; heiß; kalt; warm; dunkel; hell; laut; leise; groß; klein; rot; grün; blau; gelb; schwarz; weiß; alt; "
    "neu; gut; schlecht; falsch; richtig; links; rechts; letzte; nächste; andere; gleich; spät; früh; sehr; auch; "
    "nur; noch; schon; nicht; aber; und; oder; wenn; weil; mit; ohne; vor; nach; hinter; unter; über; neben; von; "
    "mein; dein; sein; ihr; unser; jede; alle; manche; viele; wenige; mehr; weniger; was; wer; warum; wie; würde; "
    "sollte; muss; kann; will; denke; weiß; mag; höre; sage; frage; gebe; kaufe; esse; trinke; schlafe; arbeite; "
    "spiele; lese; schreibe; Montag; Dienstag; Mittwoch; Donnerstag; Freitag; Samstag; Sonntag; Januar; März; Juli; "
    "Oktober; der; die; das; den; dem; des; ein; eine; einen; einem; einer; in; im; an; am; auf; aus; bei; bis; ist; "
    "sind; war; waren; hat; haben; hatte; werden; wird; so; da; dann; ja; nein; doch; mal; bitte; danke; hallo; "
    "tschüss; Hilfe; dringend; vorsichtig; Notfall; fertig; zuhause; weg; allein; zusammen; alles; nichts; niemand; "
    "jemand; wir; ihr; sie; er; es; ich; du; man; um; als; ob; dass; dass die; sich; ihn; ihm; mich; mir; dir; uns; "
    "euch; geht; kommt; macht; steht; liegt; bleibt; braucht",
    "fr": "maintenant; plus tard; demain; hier; toujours; jamais; encore; bientôt; vite; lentement; ici; là; en haut; "
    "en bas; dehors; dedans; vide; pleine; ouvert; ouverte; fermé; fermée; libre; occupé; prêt; cassé; sale; "
    "propre; chaud; froid; sombre; clair; bruyant; calme; grand; petit; rouge; vert; bleu; jaune; noir; blanc; "
    "vieux; nouveau; bon; mauvais; faux; gauche; droite; premier; dernier; prochain; autre; même; tard; tôt; "
    "très; aussi; seulement; déjà; pas; mais; et; ou; quand; parce que; avec; sans; avant; après; derrière; "
    "sous; sur; près; depuis; mon; ma; ton; ta; son; sa; notre; votre; leur; chaque; tous; toutes; quelques; "
    "beaucoup; moins; quoi; qui; pourquoi; comment; faut; peut; pense; sais; veux; aime; entends; dis; demande; "
    "donne; achète; mange; bois; dors; travaille; joue; lis; lundi; mardi; mercredi; jeudi; vendredi; samedi; "
    "dimanche; janvier; mars; juillet; octobre; le; la; les; des; du; de; au; aux; en; dans; est; sont; était; "
    "a; ont; avait; se; ce; cet; cette; ces; il; elle; on; nous; vous; ils; je; tu; me; te; lui; oui; non; "
    "bonjour; salut; merci; pardon; aide; urgent; attention; fini; seul; ensemble; tout; rien; personne; "
    "quelqu'un; quelque chose; une; peut-être; comme; si; ne; que; dont; par; pour; chez; entre; vers; jusqu'à; "
    "environ; presque; plutôt; surtout; vraiment; ensuite; puis; donc; car; lorsque; dès; contre; malgré; selon; "
    "aucun; plusieurs; certains; celle-ci; celui-là; cela; ça; c'est; n'est; j'ai; tu as; nous avons; suis; "
    "sommes; êtes; va; vont; fait; faire; mettre; prendre; ouvrir; voir; doit; tombé; perdu; trouvé; arrivé; "
    "parti; lourd; léger; gris; long; court; plein; humide; sec; rapide; d'abord; aujourd'hui; midi; minuit; "
    "soir; avril; novembre; l'ancien; qu'il; d'une; n'a; s'est",
    "es": "ahora; luego; hoy; mañana; ayer; siempre; nunca; quizás; otra vez; pronto; rápido; despacio; aquí; allí; "
    "arriba; abajo; fuera; dentro; vacía; lleno; llena; abierto; abierta; cerrado; cerrada; libre; ocupado; listo; "
    "roto; sucio; limpio; caliente; frío; oscuro; claro; ruidoso; tranquilo; grande; pequeño; rojo; verde; azul; "
    "amarillo; negro; blanco; viejo; bueno; malo; falso; correcto; izquierda; derecha; último; próximo; otro; otra; "
    "mismo; tarde; temprano; muy; también; solo; todavía; ya; no; pero; y; o; si; cuando; porque; con; sin; antes; "
    "después; detrás; bajo; sobre; cerca; desde; mi; tu; su; nuestro; vuestro; cada; todos; todas; algunos; muchos; "
    "pocos; más; menos; qué; quién; por qué; cómo; debe; puede; pienso; sé; quiero; gusta; oigo; digo; pregunto; "
    "doy; compro; como; bebo; duermo; trabajo; juego; leo; lunes; martes; miércoles; jueves; viernes; sábado; "
    "domingo; enero; marzo; julio; octubre; el; la; los; las; del; de; al; a; en; es; son; está; están; era; ha; "
    "han; había; se; lo; le; les; me; te; nos; yo; él; ella; ellos; usted; sí; hola; adiós; gracias; perdón; ayuda; "
    "urgente; cuidado; terminado; juntos; todo; nada; nadie; alguien; algo; una; unos; que; cual; por; para; entre; "
    "hacia; hasta; como; esto; eso; este; esta; ese; esa",
    "zh": "现在; 以后; 今天; 明天; 昨天; 总是; 从不; 也许; 再; 快; 慢; 这里; 那里; 楼上; 楼下; 外面; 里面; 空的; "
    "满的; 开着; 关着; 锁着; 有空; 忙; 准备好了; 坏了; 脏; 干净; 热; 冷; 暖和; 黑; 亮; 吵; 安静; 大; 小; 红色; 绿色; "
    "蓝色; 黄色; 旧; 新; 好; 错; 左; 右; 最后; 下; 别的; 晚; 早; 很; 太; 也; 只; 还; 已经; 不; 但是; 和; 或者; 如果; "
    "因为; 没有; 前; 后; 附近; 我的; 你的; 他的; 每; 所有; 很多; 更; 什么; 谁; 为什么; 怎么; 应该; 必须; 想; 知道; "
    "喜欢; 听; 说; 问; 给; 买; 吃; 喝; 睡觉; 工作; 玩; 读; 写; 是; 的; 了; 在; 有; 吗; 呢; 吧; 啊; 请; 谢谢; 你好; "
    "对不起; 帮忙; 紧急; 小心; 完成; 回家; 我; 你; 他; 她; 我们; 他们; 这个; 那个; 早上好; 晚安; 再见; 没问题; 好的; "
    "可以; 不行; 需要; 马上; 立刻; 上午; 下午; 晚上; 时间",
}

GREETINGS = {
    "en": "hello; hi; hey; good morning; good evening; excuse me; please; ok; okay; attention; listen; sorry; yes; "
    "no; right; well; computer; assistant; robot; dear colleague; hi there; hey you; urgent; reminder; note; info; "
    "today",
    "de": "Hallo; hi; guten Morgen; guten Tag; guten Abend; Entschuldigung; bitte; okay; Moment; hör mal; ja; nein; "
    "also; na gut; Computer; liebe Kollegen; Achtung; dringend; Hinweis; Info; Servus; Moin; heute; so",
    "fr": "bonjour; salut; bonsoir; excusez-moi; pardon; s'il vous plaît; d'accord; attention; écoute; oui; non; "
    "bien; alors; ordinateur; cher collègue; urgent; rappel; note; info; coucou; allô; aujourd'hui; bon; voilà",
    "es": "hola; buenos días; buenas tardes; buenas noches; perdón; disculpe; por favor; vale; atención; oye; sí; "
    "no; bien; bueno; ordenador; estimado colega; urgente; aviso; nota; oiga; hoy; entonces; pues; mira",
    "zh": "你好; 您好; 早上好; 晚上好; 请问; 麻烦你; 请; 好; 好的; 注意; 听着; 对不起; 是的; 不; 那么; 电脑; 同事; "
    "紧急; 提醒; 喂; 嗨; 今天; 大家好",
}
COURTESIES = {
    "en": "please; now; thanks; thank you; right now; immediately; if you can; as soon as possible; asap; again; for "
    "me; for us; quickly; today; tonight; tomorrow; is open; is closed; is empty; is ready; is free; is locked; is "
    "too warm; is dirty; is broken; is on the left; needs help; for the meeting; with the key; first; over there; "
    "this morning; in the evening; o'clock; is waiting; and lock it; and come back; or not; is what I said; okay; "
    "sir; madam",
    "de": "bitte; jetzt; danke; vielen Dank; sofort; gleich; wenn möglich; nochmal; für mich; für uns; schnell; "
    "heute; heute Abend; morgen; ist offen; ist zu; ist leer; ist fertig; ist frei; ist gesperrt; ist zu warm; ist "
    "schmutzig; ist kaputt; ist links; braucht Hilfe; für die Sitzung; mit dem Schlüssel; zuerst; dort drüben; am "
    "Morgen; Uhr; wartet; und abschließen; und komm zurück; oder nicht; habe ich gesagt; öffnen; schließen; prüfen; "
    "aufmachen; einschalten; ausschalten; reinigen; anzeigen; an; aus; auf",
    "fr": "s'il vous plaît; s'il te plaît; maintenant; merci; merci beaucoup; tout de suite; si possible; encore; pour "
    "moi; pour nous; vite; ce soir; demain; est ouverte; est fermée; est vide; est prête; est libre; est "
    "bloquée; est trop chaude; est sale; est en panne; est à gauche; pour la réunion; avec la clé; d'abord; "
    "là-bas; ce matin; heures; attend; et reviens; ou pas; je répète; svp; stp; monsieur; madame; d'accord; tout "
    "à l'heure; dès que possible; avant midi; après la pause; pour l'instant; est fini; est cassé; ne marche "
    "plus; à droite; de l'étage; du couloir; mon ami; en attendant; comme hier; avec moi; sans attendre",
    "es": "por favor; ahora; gracias; muchas gracias; ya; enseguida; si puede; otra vez; para mí; para nosotros; "
    "rápido; hoy; esta noche; mañana; está abierta; está cerrada; está vacía; está lista; está libre; está "
    "bloqueada; está sucia; está rota; está a la izquierda; necesita ayuda; para la reunión; con la llave; primero; "
    "allí; esta mañana; en punto; espera; y vuelve; o no; repito; señor; señora; vale; de acuerdo",
    "zh": "谢谢; 好吗; 吧; 可以吗; 马上; 现在; 请; 快点; 今天; 晚上; 明天; 开着; 关着; 是空的; 准备好了; 空着; 锁了; "
    "太热了; 脏了; 坏了; 在左边; 需要帮助; 开会; 那边; 早上; 点; 在等; 再回来; 先生; 女士; 的门; 的灯; 里面; 门口; "
    "吗; 了; 旁边; 有人; 没人",
}
# What follows a digit. 一 counts as a digit only with one of these, or at the end.
COUNTERS_ZH = (
    "号; 号门; 号房间; 号楼; 楼; 层; 号桌; 个; 台; 箱; 位; 号线; 路; 点; 号仓库; 区; 号机; 号窗口; 号站台; 排; 页; "
    "级; 车间; 室; 栋; 号货架; 频道"
)

# Words that look like the word for a digit, and name none.
NEAR = {
    "en": "someone; anyone; everyone; stone; alone; phone; none; nobody; bone; cone; done; gone; hone; lone; tone; "
    "zone; ode; ore; owe; on; once; ones; to; too; tow; twos; who; wo; there; thee; threw; tree; these; throe; the; "
    "for; our; fur; hour; pour; tour; sour; your; foul; form; fort; fork; found; fire; dive; hive; jive; live; fine; "
    "file; give; fife; fives; fiver; favor; sic; sit; sin; sip; sir; sis; fix; mix; nix; sex; si; sixt; sixth; "
    "sever; even; event; seen; severn; sevens; eleven; heaven; weight; height; right; fight; light; night; eighth; "
    "freight; sleigh; eights; tight; line; mine; pine; vine; wine; dine; nice; niece; ninth; nines; hero; aero; "
    "zeros; nero; often; oven; stove; serve; network; artwork; fourth; fifth; third; second; won; ate; site; size; "
    "sex; box; tax; weigh; seventh; oneself; lonely; money; honey; owner; tonne; twin; twice; thrice; trio; triple; "
    "double; single; pair; dozen; couple; half; quarter; use; nil; sight; wight; dour; fore; fox; sox; flue; fluor; "
    "twin; act; sent; min; foe; ego; euro; vive; third",
    "de": "Achtung; Einsatz; eine; einer; eines; einem; ein; Eis; Vieh; viel; viele; dreist; Verein; einsam; nun; "
    "Zweig; Zweifel; Sechseck; sieht; neu; neue; neuen; neuer; nein; nenn; nach; Macht; Nacht; wacht; lacht; sacht; "
    "Pacht; Schacht; achten; achte; echt; ach; frei; drehen; dreh; Brei; dein; rein; drin; Dreieck; Sieb; Siebe; "
    "lieben; sieden; siegen; Siegen; geben; leben; schieben; haben; Bier; hier; Tier; vierte; Viertel; Vierer; "
    "fünfte; Fund; Funk; fun; Füchse; sechste; Sache; wachs; Wechsel; sech; seins; meins; deins; keins; Reis; einst; "
    "einmal; zweite; zwar; Zwerg; Zwieback; zwingen; Zweck; Bein; wie; ohne; voll; Wolle; Ball; Nullpunkt; Müll; "
    "beide; Paar; Dutzend; halb; Hälfte; einfach; doppelt; Neubau; neulich; Neugier; Verdacht; gemacht; gedacht; "
    "gebracht; Pracht; Fracht; achtsam; Vieleck; dritte; erste; Seins; zwischen; Zweier; Dreier; Siebzig; Dreck; "
    "soeben; ins; Gier; nackt; sieh; siehe; sehen; Nil; Drill; Vers; eher; fing; Fang; Zwist; sechzig; siebte; "
    "Zweck; wir",
    "fr": "trottoir; neige; huître; deuil; unique; quatrain; neuve; neufs; oeuf; nuit; suit; cuit; fuit; huis; hit; "
    "trop; rois; mois; fois; bois; droit; toi; moi; trios; troc; eux; ceux; feux; jeux; veux; peux; yeux; mieux; "
    "dieux; deus; vieux; doux; deuxième; troisième; quatrième; cinquième; sixième; septième; huitième; neuvième; "
    "une; uns; unes; lune; on; en; an; dix; dis; lis; mis; sic; sis; sexe; fixe; set; cet; cette; septembre; "
    "secteur; cent; zinc; cinéma; quart; quarte; quatorze; quatrième; carte; héros; zéros; zone; très; tries; nos; "
    "vos; os; nef; bref; chef; veuf; neutre; quai; août; paire; moitié; double; demi; douzaine; seul; nul; nulle; "
    "trous; tris; trou; juin; huile; sert; seul; oui; quitte; quatuor; dense; sien; euro; neige; fit; tir",
    "es": "nuevo; nueva; nuevos; nieve; mueve; llueve; uña; unos; una; un; luna; tresillo; cuadro; cuadra; cuarto; "
    "cuatros; seda; seísmo; sexo; ocioso; ocio; echo; ojo; eco; hecho; ancho; dicho; mucho; noche; coche; leche; "
    "once; doce; cinta; cinto; zinc; siesta; siento; siente; fiesta; diente; sierra; sien; ocre; los; nos; vos; "
    "dosis; todos; dios; mes; tras; otros; entre; traes; tren; pero; cerro; cerdo; cera; acero; enero; ceros; "
    "primero; tercero; segundo; quinto; sexto; séptimo; octavo; noveno; octubre; nube; nueces; único; uñas; usa; "
    "uso; ceros; cerca; par; mitad; doble; medio; docena; solo; nulo; breve; nave; cueva; huevo; hueve; jueves; "
    "dueño; cielo; creo; circo; res; cedo; coro; euro; otro; teatro; zorro; ves; vez; viste; trae; humo; sea; rey; "
    "ley; cuatrero",
    "zh": "一起; 一下; 一样; 一些; 一点; 一点儿; 一直; 一定; 一般; 一共; 一切; 一会儿; 一边; 统一; 唯一; 同一; 万一; "
    "第一次; 一个人; 三明治; 三角; 三角形; 四川; 四周; 四季; 五金; 五星; 六合; 七夕; 八方; 八卦; 九州; 九龙; 二手; "
    "二维码; 三轮车; 星期一; 星期二; 星期三; 星期四; 星期五; 星期六; 周三; 周五; 三月; 五月; 七月; 八月; 王; 主; 干; "
    "工; 土; 士; 西; 酉; 匹; 大; 太; 人; 入; 儿; 几; 力; 刀; 丸; 丁; 上; 下; 川; 口; 回; 目; 日; 伞; 半; 双; 对; 单; "
    "百姓; 千万; 万事; 一路平安; 吾; 气; 巴; 酒; 起; 妻; 期; 衣; 医; 而; 儿; 山; 伞; 死; 是; 无; 午; 流; 留; 爸; 久; "
    "就; 灵; 零钱; 零件; 零食",
}

# Simplified to traditional characters, the most frequent ones here.
TRADITIONAL = str.maketrans(
    "请开关门间号楼层线页级车货仓库区机频道电灯仪谢吗现马点准备锁热脏坏边里们我要检查显启动选择按离进装载",
    "請開關門間號樓層線頁級車貨倉庫區機頻道電燈儀謝嗎現馬點準備鎖熱髒壞邊裡們我要檢查顯啟動選擇按離進裝載",
)
